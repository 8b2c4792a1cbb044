<?php
// Licensed under the Apache License, Version 2.0; see LICENSE.

require __DIR__ . '/../session.php';

if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
    http_response_code(405);
    header('Allow: POST');
} else {
    destroy();
    header('Location: /', true, 303);
}
