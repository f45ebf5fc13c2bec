<?php
// Believes only requests that a Keyferry gateway signed (docs/SIGNATURE.md). PHP 8.0 or newer, any framework.
//
// By hand, with the standard library: the gateway gives its signature one form, so one pattern takes the place of a
// parser. Libraries for RFC 9421 read every form that there may be, and one still had to compare what was covered.
//
//     require 'keyferry_verify.php';     // first of all, in the front controller
//     $keyferry = new KeyferryVerifier(['orders-2026-11' => preg_replace('/\r?\n$/D', '', file_get_contents('orders.key'))]);
//     $keyferry->guard();                // answers 401 and ends, or comes back
//
// X-Key-Id and X-Client-Id can be believed behind it. REQUEST_URI must be the target as it came: Apache, php -S, and
// nginx with `fastcgi_param REQUEST_URI $request_uri` (as Debian has it) see to that.

final class KeyferryRefused extends RuntimeException {}

final class KeyferryVerifier
{
    private const SKEW = 5, LIFETIME = 60;
    private const COVERED = ['x-key-id', 'x-client-id', 'x-key-scopes', 'content-digest'];
    private const OURS = [...self::COVERED, 'signature-input', 'signature'];
    private const TEXT = '[ !#-\[\]-~]';
    private const FORM = '/^gw=(?<parameters>\((?<components>[^()]*)\);created=(?<created>0|[1-9][0-9]{0,14})'
        . ';expires=(?<expires>0|[1-9][0-9]{0,14});nonce="(?<nonce>' . self::TEXT . '+)";alg="hmac-sha256"'
        . ';keyid="(?<keyid>' . self::TEXT . '*)";tag="keyferry")$/D';

    /**
     * Believes `$secrets` by their key ids; two while one takes the place of the other. Each signature is good once:
     * `$remember` of the last minute are kept, in APCu for all processes of one pool, and more are refused; 0 keeps none.
     */
    public function __construct(private array $secrets, private int $remember = 50_000, private mixed $clock = 'time')
    {
        if ($remember > 0 && !(function_exists('apcu_enabled') && apcu_enabled())) {
            throw new LogicException('install APCu, or give remember: 0 and know that a signature can be replayed for a minute');
        }
    }

    /** Ends the request with 401, unless it is believed. */
    public function guard(): void
    {
        try {
            $this->check($_SERVER, getallheaders());
        } catch (KeyferryRefused $refused) {
            http_response_code(401);
            header('Content-Type: application/problem+json');
            header('WWW-Authenticate: Signature realm="keyferry"');
            exit(json_encode(['title' => 'Unauthorized', 'status' => 401, 'reason' => $refused->getMessage()]));
        }
    }

    /** The client and its key id. Servers join what comes twice with a comma, or fold names; neither fits then. */
    public function check(array $server, array $sent): array
    {
        foreach (array_keys($sent) as $name) {
            $plain = strtolower((string) $name);
            $folded = preg_replace('/[^a-z0-9]/', '-', trim($plain));
            if (!in_array($plain, self::OURS, true) && in_array($folded, self::OURS, true)) {
                throw new KeyferryRefused('header_disguised');
            }
        }
        $of = fn (string $name): ?string => $server['HTTP_' . strtoupper(strtr($name, '-', '_'))] ?? null;
        $there = array_filter(self::OURS, fn ($name) => $of($name) !== null);
        if (array_diff($there, ['content-digest']) === []) {
            throw new KeyferryRefused('signature_missing');
        }
        if (array_diff(self::OURS, $there, ['x-key-scopes', 'content-digest']) !== [] || $of('host') === null) {
            throw new KeyferryRefused('signature_header');
        }
        $target = $server['REQUEST_URI'] ?? '';
        if (!str_starts_with($target, '/')) {
            throw new KeyferryRefused('request_malformed');
        }

        [$path, $query] = explode('?', $target, 2) + [1 => ''];
        $authority = preg_replace('/:(443|80)$/D', '', strtolower($of('host')));
        $lines = ['@method' => $server['REQUEST_METHOD'], '@authority' => $authority, '@path' => $path, '@query' => "?$query"];
        foreach (array_intersect(self::COVERED, $there) as $name) {
            $lines[$name] = $of($name);
        }
        $components = '"' . implode('" "', array_keys($lines)) . '"';
        $text = preg_match('/^[ -~]*$/D', implode('', $lines));
        if (!preg_match(self::FORM, $of('signature-input'), $form) || $form['components'] !== $components || !$text) {
            throw new KeyferryRefused('signature_malformed');
        }
        $secret = $this->secrets[$form['keyid']] ?? throw new KeyferryRefused('signature_key_unknown');
        $base = '';
        foreach ($lines as $name => $value) {
            $base .= "\"$name\": $value\n";
        }
        $mac = hash_hmac('sha256', $base . '"@signature-params": ' . $form['parameters'], $secret, true);
        if (!hash_equals('gw=:' . base64_encode($mac) . ':', $of('signature'))) {
            throw new KeyferryRefused('signature_mismatch');
        }

        [$created, $expires, $now] = [(int) $form['created'], (int) $form['expires'], (int) ($this->clock)()];
        $lasts = $expires - $created;
        if ($lasts < 0 || $lasts > self::LIFETIME || $created - self::SKEW > $now || $now > $expires + self::SKEW) {
            throw new KeyferryRefused('signature_not_current');
        }
        if ($this->remember > 0) {
            $this->once('keyferry:' . $form['nonce'], $expires + self::SKEW, $now);
        }
        return [$of('x-client-id'), $of('x-key-id')];
    }

    /** APCu that is full forgets everything at once, so it must never be; what is kept is counted, by the second of its end. */
    private function once(string $key, int $until, int $now): void
    {
        $ends = range($now, $now + self::LIFETIME + 2 * self::SKEW);
        $kept = array_sum(apcu_fetch(array_map(fn ($end) => "keyferry#$end", $ends)));
        $isFull = $kept >= $this->remember || apcu_sma_info(true)['avail_mem'] < 1 << 20;
        if ($isFull && !apcu_exists($key)) {
            throw new KeyferryRefused('too_many_signatures');
        }
        if (!apcu_add($key, true, $until - $now + 1)) {
            throw new KeyferryRefused('signature_replayed');
        }
        apcu_inc("keyferry#$until", 1, $isCounted, 2 * self::LIFETIME);
    }

    /** Whether a body is the one of its Content-Digest. Without a digest, nobody vouches for the body. */
    public static function bodyFits(string $digest, string $body): bool
    {
        preg_match_all('/(?:^|, *)(sha-256|sha-512)=:([A-Za-z0-9+\/=]*):/', $digest, $found, PREG_SET_ORDER);
        $fits = fn ($one) => base64_encode(hash(str_replace('-', '', $one[1]), $body, true)) === $one[2];
        return $found !== [] && count(array_filter($found, $fits)) === count($found);
    }
}
