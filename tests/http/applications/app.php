<?php
// As PHP; see applications.py.

$key = $_GET['k'] ?? '';
$value = $_SERVER["BSESSION_$key"] ?? null;
$cookie = $_SERVER['HTTP_COOKIE'] ?? null;
header('Content-Type: application/json');
foreach (array_filter(explode("\n", $_GET['say'] ?? ''), 'strlen') as $line) {
    header($line, false);
}
if (isset($_GET['put'])) {
    header('BSession-Set: ' . http_build_query([$key => hex2bin($_GET['put'])]), false);
}
if (isset($_GET['long'])) {
    header("BSession-Set: $key=" . str_repeat('x', (int) $_GET['long']), false);
}
http_response_code((int) ($_GET['status'] ?? 200));
$headers = array_filter(array_keys($_SERVER), fn ($name) => str_starts_with($name, 'HTTP_BS'));
echo json_encode([
    'value' => $value === null ? null : bin2hex($value),
    'cookie' => $cookie === null ? null : bin2hex($cookie),
    'headers' => array_values($headers),
]);
