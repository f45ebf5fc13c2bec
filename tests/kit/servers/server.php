<?php
// The PHP verifier before an application that says whom it sees: `php -S 127.0.0.1:PORT server.php`. SECRETS is a folder
// of secrets by their key ids; NOW, when it is there, a file with the time; REMEMBER, how many signatures are kept.

require __DIR__ . '/../../../examples/verify/keyferry_verify.php';

$secrets = [];
foreach (glob(getenv('SECRETS') . '/*') as $file) {
    $secrets[basename($file)] = preg_replace('/\n$/D', '', file_get_contents($file));
}
$now = getenv('NOW');
$remember = (int) (getenv('REMEMBER') ?: 50_000);
$keyferry = new KeyferryVerifier($secrets, $remember, $now === false ? 'time' : fn () => (int) file_get_contents($now));
$keyferry->guard();

$digest = $_SERVER['HTTP_CONTENT_DIGEST'] ?? null;
if ($digest !== null && !KeyferryVerifier::bodyFits($digest, file_get_contents('php://input'))) {
    http_response_code(401);
    exit('body_mismatch');
}
header('Echo-Client: ' . $_SERVER['HTTP_X_CLIENT_ID']);
header('Echo-Key-Id: ' . $_SERVER['HTTP_X_KEY_ID']);
header('Echo-Scopes: ' . ($_SERVER['HTTP_X_KEY_SCOPES'] ?? ''));
echo 'ok';
