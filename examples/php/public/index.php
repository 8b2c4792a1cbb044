<?php
// Licensed under the Apache License, Version 2.0; see LICENSE.

require __DIR__ . '/../session.php';

increase('visits');
$visits = (int) session('visits') + 1;
$user = session('user');
?>
<!DOCTYPE html>
<html lang="en">
<title>mod_bsession: PHP</title>
<meta name="viewport" content="width=device-width">
<style>
body { max-width: 34rem; margin: 15vh auto 0; padding: 0 1.5rem; font: 1.125rem/1.6 system-ui; }
.number { color: #a8441f; font-size: 3em; }
</style>
<h1><span class="number"><?= $visits ?></span> visits</h1>
<?php if ($user !== null): ?>
<p>Hello <strong><?= htmlspecialchars($user) ?></strong>.
<form method="post" action="/logout.php"><button>Log out</button></form>
<?php else: ?>
<form method="post" action="/login.php">
<label>Your name <input name="user" required maxlength="80"></label>
<button>Log in</button></form>
<?php endif ?>
<p>This is PHP <?= PHP_MAJOR_VERSION ?>, served by PHP-FPM.
