"""The proof that a gateway does the whole job, before anything is measured."""

import base64
import hashlib
import hmac
import http.client
import http.server
import json
import re
import socket
import ssl
import sys
import threading
import time
import zlib

HOST = "api.example.com"
# A header that means nothing to anybody, which must arrive: else nothing is shown by others that do not.
HARMLESS = ("X-Harmless", "arrives")


def unknown(key):
    """A key with the id of that one, another secret, and a checksum that fits."""
    body = key[:-7] + ("a" if key[-7] != "a" else "b")
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    rest, crc = zlib.crc32(body.encode()), ""
    for _ in range(6):
        crc, rest = digits[rest % 62] + crc, rest // 62
    return body + crc


def prove(gateways, shared):
    with Echo(shared.backend) as echo:
        for gateway in gateways:
            Proof(gateway, shared, echo).run()


class Proof:
    """One gateway does the job, or the comparison ends."""

    def __init__(self, gateway, shared, echo):
        self.gateway, self.shared, self.echo = gateway, shared, echo
        self.forged = [HARMLESS, *forged(shared.reserved)]

    def run(self):
        key_id, client, key = self.shared.identities[7]
        for what, headers, certificate in [
            ("key", [("X-API-Key", key)], None),
            ("bearer key", [("Authorization", f"Bearer {key}")], None),
            ("certificate", [], client),
        ]:
            self.accepted(what, headers, certificate, key_id, client)
        rsa_key_id, rsa, _ = self.shared.identities[70]
        self.accepted("RSA certificate", [], rsa, rsa_key_id, rsa)
        self.resumed(client, key_id)
        last = key[-1]
        mistyped = key[:-1] + ("0" if last != "0" else "1")
        for what, headers in [
            ("mistyped key", [("X-API-Key", mistyped)]),
            ("wrong secret", [("X-API-Key", unknown(key))]),
            ("nothing", []),
        ]:
            self.refused(what, headers, self.context(None))
        self.resumed_stranger()
        print(f"{self.gateway.name} does the job: identity by key and certificate, signed; sessions resumed; "
              "forged headers gone; bad credentials refused", file=sys.stderr)

    def accepted(self, what, headers, certificate, key_id, client):
        status, seen = self.ask(self.connect(self.context(certificate)), headers + self.forged)
        self.expect(status == 200, f"{what}: 200, not {status}")
        text = json.dumps(seen)
        self.expect("forged" not in text, f"{what}: forged headers are gone: {text}")
        self.expect("kf_live_" not in text, f"{what}: the key is gone: {text}")
        self.identity(what, seen, key_id, client)

    def resumed(self, client, key_id):
        """A session that is resumed still tells the certificate."""
        context = self.context(client)
        self.ask(self.connect(context), [])
        again = self.connect(context, self.session)
        self.expect(again.session_reused, "the session is resumed")
        status, seen = self.ask(again, self.forged)
        self.expect(status == 200, f"resumed session: 200, not {status}")
        self.identity("resumed session", seen, key_id, client)

    def refused(self, what, headers, context, session=None):
        try:
            status, seen = self.ask(self.connect(context, session), headers + self.forged)
        except (ssl.SSLError, ConnectionError):
            # Some end the handshake, or the connection after it.
            status, seen = 401, self.echo.seen
        self.expect(status in (401, 403), f"{what}: refused, not {status}")
        self.expect(seen is None, f"{what}: the backend saw nothing")

    def resumed_stranger(self):
        """No session makes a bad certificate good."""
        context, self.session = self.context(self.shared.identities[80][1]), None
        self.refused("certificate of another authority", [], context)
        if self.session:
            self.refused("session with that certificate", [], context, self.session)

    def identity(self, what, seen, key_id, client):
        value = lambda name: [v for n, v in seen if n.lower() == name]
        self.expect(value("x-key-id") == [key_id], f"{what}: X-Key-Id is {value('x-key-id')}")
        self.expect(value("x-client-id") == [client], f"{what}: the client is {client}")
        self.expect(value("x-harmless") == ["arrives"], f"{what}: other headers arrive")
        self.expect(len(value("x-request-id")) == 1, f"{what}: the request has an id")
        self.expect(value("x-forwarded-for") == ["127.0.0.1"], f"{what}: X-Forwarded-For: {value('x-forwarded-for')}")
        self.expect(value("x-forwarded-proto") == ["https"], f"{what}: X-Forwarded-Proto is https")
        [parameters] = value("signature-input")
        [signature] = value("signature")
        parameters = parameters.removeprefix("gw=")
        base = "\n".join([
            '"@method": GET', f'"@authority": {HOST}', '"@path": /v1/orders', '"@query": ?limit=10',
            f'"x-key-id": {key_id}', f'"x-client-id": {client}',
            f'"@signature-params": {parameters}',
        ])
        mac = hmac.new(self.shared.signing, base.encode(), hashlib.sha256).digest()
        expected = f"gw=:{base64.b64encode(mac).decode()}:"
        self.expect(signature == expected, f"{what}: the signature fits: {parameters} {signature}")
        created = int(re.search(r"created=(\d+)", parameters)[1])
        self.expect(abs(created - time.time()) < 5, f"{what}: it was signed now")
        expires = int(re.search(r"expires=(\d+)", parameters)[1])
        self.expect(created < expires <= created + 300, f"{what}: it ends soon")
        self.expect(re.search(r';nonce="[^"]{16,}";', parameters), f"{what}: it has a nonce")

    def context(self, certificate):
        context = ssl.create_default_context(cafile=self.shared.folder / "servers-root.pem")
        if certificate:
            file = lambda extension: self.shared.folder / f"{certificate}.{extension}"
            context.load_cert_chain(file("pem"), file("key"))
        return context

    def connect(self, context, session=None):
        self.echo.seen = None
        plain = socket.create_connection(("127.0.0.1", self.gateway.port), timeout=5)
        return context.wrap_socket(plain, server_hostname=HOST, session=session)

    def ask(self, stream, headers):
        """The answer's status, and what the backend saw of the request."""
        connection = http.client.HTTPConnection(HOST, self.gateway.port)
        connection.sock = stream
        connection.putrequest("GET", "/v1/orders?limit=10", skip_host=True)
        for name, value in [("Host", HOST), *headers]:
            connection.putheader(name, value)
        connection.endheaders()
        status = connection.getresponse().status
        # Tickets come with the answer, and go with the connection.
        self.session = stream.session
        connection.close()
        return status, self.echo.seen

    def expect(self, good, what):
        if not good:
            sys.exit(f"{self.gateway.name} does not do the job. Expected of {what}")


def forged(reserved):
    """Every reserved header, and some in spellings that backends fold into these. A key is presented anyhow."""
    names = [name for name in reserved["whole"] if name != "x-api-key"]
    names += [beginning + "test" for beginning in reserved["beginnings"]]
    names += [name.replace("-", mark) for mark in "_." for name in ("x-key-id", "X-Client-Id", "x-ssl-client-s-dn")]
    # No other with "_" or "." arrives either.
    return [(name.title(), "forged") for name in (*names, "x_harmless", "x.harmless")]


class Echo:
    """A backend that remembers the headers of the last request."""

    def __init__(self, port):
        echo = self
        self.seen = None

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                echo.seen = self.headers.items()
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            block_on_close = False

            def handle_error(self, *_):
                """The gateways keep connections, and drop them when they like."""

        self.server = Server(("127.0.0.1", port), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
