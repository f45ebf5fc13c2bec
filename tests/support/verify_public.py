"""Verifies a recorded request with the PyPI library http-message-signatures, by the keys that PyJWT fetches.

In: {"request": {method, target, headers}, "set": {url, port, authority}, "covered": [names]}. Out: {} or {"error"}.
The host of the URL is looked for at 127.0.0.1 and that port.
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
request, key_set = given["request"], given["set"]

look_up = socket.getaddrinfo
socket.getaddrinfo = lambda host, port, *more, **named: look_up(
    "127.0.0.1", key_set["port"], *more, **named
)


class Keys(HTTPSignatureKeyResolver):
    def __init__(self):
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
    signature_algorithm=algorithms.ED25519, key_resolver=Keys()
)
try:
    verifier.verify(
        message, expect_tag="keyferry", require_components=given["covered"]
    )
    print("{}")
except Exception as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
