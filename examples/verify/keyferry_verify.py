"""Believes only requests that a Keyferry gateway signed (docs/SIGNATURE.md). WSGI and ASGI; Python 3.9 or newer.

By hand, with the standard library: the gateway gives its signature one form, so one pattern takes the place of a
parser. Libraries for RFC 9421 read every form that there may be, and one still had to compare what was covered.

    verifier = Verifier({"orders-2026-11": pathlib.Path("orders.key").read_bytes().removesuffix(b"\n")})
    application = WsgiMiddleware(application, verifier)     # or AsgiMiddleware

What it refuses gets 401, and the application is not called. X-Key-Id and X-Client-Id can be believed behind it.
"""

import base64
import hashlib
import hmac
import json
import re
import threading
import time

SKEW, LIFETIME = 5, 60
COVERED = ("x-key-id", "x-client-id", "x-key-scopes", "content-digest")
OURS = COVERED + ("signature-input", "signature")
TEXT = r'[ !#-\[\]-~]'
FORM = re.compile(
    r"gw=(?P<parameters>\((?P<components>[^()]*)\);created=(?P<created>0|[1-9]\d{0,14});expires=(?P<expires>0|[1-9]\d{0,14})"
    rf';nonce="(?P<nonce>{TEXT}+)";alg="hmac-sha256";keyid="(?P<keyid>{TEXT}*)";tag="keyferry")',
    re.ASCII,
)


class Refused(Exception):
    """Why a request is not believed: a reason of docs/VERIFY.md."""


class Verifier:
    """Believes `secrets` (bytes by their key ids; two while one takes the place of the other). Each signature is
    good once: `remember` of the last minute are kept, for this process alone, and more are refused; 0 keeps none."""

    def __init__(self, secrets, remember=100_000, clock=time.time):
        self.secrets, self.remember, self.clock = secrets, remember, clock
        self.seen, self.lock = {}, threading.Lock()

    def check(self, method, target, headers):
        """The client and its key id. `target` is as it stood on the wire, `headers` are all pairs of name and value."""
        values = {}
        for name, value in headers:
            plain = name.lower()
            if plain not in OURS and re.sub("[^a-z0-9]", "-", plain) in OURS:
                raise Refused("header_disguised")
            values.setdefault(plain, []).append(value)
        if not any(name in values for name in OURS if name != "content-digest"):
            raise Refused("signature_missing")
        for name in OURS + ("host",):
            least = 0 if name in ("x-key-scopes", "content-digest") else 1
            if not least <= len(values.get(name, ())) <= 1:
                raise Refused("signature_header")
        one = {name: found[0] for name, found in values.items()}
        if not (target or "").startswith("/"):
            raise Refused("request_malformed")

        form = FORM.fullmatch(one["signature-input"])
        path, _, query = target.partition("?")
        authority = re.sub(":(443|80)$", "", one["host"].lower())
        lines = [("@method", method), ("@authority", authority), ("@path", path), ("@query", "?" + query)]
        lines += [(name, one[name]) for name in COVERED if name in one]
        if not form or form["components"] != " ".join(f'"{name}"' for name, _ in lines):
            raise Refused("signature_malformed")
        if not all(re.fullmatch("[ -~]*", value) for _, value in lines):
            raise Refused("signature_malformed")
        secret = self.secrets.get(form["keyid"])
        if secret is None:
            raise Refused("signature_key_unknown")
        base = "".join(f'"{name}": {value}\n' for name, value in lines) + f'"@signature-params": {form["parameters"]}'
        mac = base64.b64encode(hmac.digest(secret, base.encode(), "sha256"))
        if not hmac.compare_digest(b"gw=:" + mac + b":", one["signature"].encode("latin-1", "replace")):
            raise Refused("signature_mismatch")

        created, expires, now = int(form["created"]), int(form["expires"]), int(self.clock())
        if not 0 <= expires - created <= LIFETIME or not created - SKEW <= now <= expires + SKEW:
            raise Refused("signature_not_current")
        if self.remember:
            self.once(form["nonce"], expires + SKEW, now)
        return one["x-client-id"], one["x-key-id"]

    def once(self, nonce, until, now):
        with self.lock:
            while self.seen and next(iter(self.seen.values())) < now:
                del self.seen[next(iter(self.seen))]
            if nonce in self.seen:
                raise Refused("signature_replayed")
            if len(self.seen) >= self.remember:
                raise Refused("too_many_signatures")
            self.seen[nonce] = until


def body_fits(digest, body):
    """Whether a body is the one of its Content-Digest. Without a digest, nobody vouches for the body."""
    found = dict(re.findall(r"(?:^|, *)(sha-256|sha-512)=:([A-Za-z0-9+/=]*):", digest))
    made = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
    return bool(found) and all(base64.b64encode(made[name](body).digest()).decode() == text for name, text in found.items())


def refusal(refused):
    body = json.dumps({"title": "Unauthorized", "status": 401, "reason": str(refused)}).encode()
    kind, asks = ("Content-Type", "application/problem+json"), ("WWW-Authenticate", 'Signature realm="keyferry"')
    return [kind, asks, ("Content-Length", str(len(body)))], body


class WsgiMiddleware:
    """Servers fold names and join what comes twice; so what is joined does not fit. The target as it came is in
    RAW_URI (gunicorn) or REQUEST_URI (waitress, uWSGI, mod_wsgi); where it is in neither, everything is refused."""

    def __init__(self, application, verifier):
        self.application, self.verifier = application, verifier

    def __call__(self, environ, start_response):
        target = environ.get("RAW_URI") or environ.get("REQUEST_URI")
        headers = [(name[5:].replace("_", "-"), value) for name, value in environ.items() if name.startswith("HTTP_")]
        try:
            self.verifier.check(environ["REQUEST_METHOD"], target, headers)
        except Refused as refused:
            headers, body = refusal(refused)
            start_response("401 Unauthorized", headers)
            return [body]
        return self.application(environ, start_response)


class AsgiMiddleware:
    """For HTTP and WebSocket; where the server does not tell `raw_path`, everything is refused."""

    def __init__(self, application, verifier):
        self.application, self.verifier = application, verifier

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return await self.application(scope, receive, send)
        # Of its own, since uvicorn adds the trailers of a body to what it has given.
        scope = {**scope, "headers": list(scope["headers"])}
        target = b"?".join(part for part in (scope.get("raw_path"), scope.get("query_string")) if part).decode("latin-1")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        try:
            self.verifier.check(scope.get("method", "GET"), target if scope.get("raw_path") else None, headers)
        except Refused as refused:
            if scope["type"] == "websocket":
                return await send({"type": "websocket.close", "code": 1008})
            headers, body = refusal(refused)
            headers = [(name.encode(), value.encode()) for name, value in headers]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            return await send({"type": "http.response.body", "body": body})
        return await self.application(scope, receive, send)
