"""Verifies a recorded request with the PyPI library http-message-signatures.

In: {"request": {method, target, headers}, "covered": [names]}, and either "secret_hex" or "set": {url, port, authority},
of which PyJWT fetches the keys; the host of the URL is looked for at 127.0.0.1 and that port. Out: {} or {"error"}.
"""

import json
import socket
import ssl
import sys
from types import SimpleNamespace

import jwt
from http_message_signatures import (
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)

given = json.load(sys.stdin)
request, key_set = given["request"], given.get("set")


class Secret(HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id):
        return bytes.fromhex(given["secret_hex"])


class Fetched(HTTPSignatureKeyResolver):
    def __init__(self):
        look_up = socket.getaddrinfo
        socket.getaddrinfo = lambda host, port, *more, **named: look_up(
            "127.0.0.1", key_set["port"], *more, **named
        )
        context = ssl.create_default_context(cafile=key_set["authority"])
        self.client = jwt.PyJWKClient(key_set["url"], ssl_context=context)

    def resolve_public_key(self, key_id):
        found = self.client.get_signing_key(key_id)
        assert found.key_type == "OKP" and found.algorithm_name == "EdDSA"
        return found.key


headers = {}
for name, value in request["headers"]:
    name = name.lower()
    headers[name] = f"{headers[name]}, {value}" if name in headers else value

message = SimpleNamespace(
    method=request["method"],
    url=f"http://{headers['host']}{request['target']}",
    headers=headers,
)
verifier = HTTPMessageVerifier(
    signature_algorithm=algorithms.ED25519 if key_set else algorithms.HMAC_SHA256,
    key_resolver=Fetched() if key_set else Secret(),
)
try:
    verifier.verify(
        message, expect_tag="keyferry", require_components=given["covered"]
    )
    print("{}")
except Exception as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
