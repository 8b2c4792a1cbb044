<?php
// Licensed under the Apache License, Version 2.0; see LICENSE.

require __DIR__ . '/../session.php';

$user = $_POST['user'] ?? '';
if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
    http_response_code(405);
    header('Allow: POST');
} elseif (!is_string($user) || $user === '') {
    http_response_code(400);
    echo 'A login needs a name.';
} else {
    remember(['user' => $user]);
    rotate();
    header('Location: /', true, 303);
}
