"""Verifies a recorded request with the PyPI library http-message-signatures.

In: {"request": {method, target, headers}, "secret_hex", "covered": [names]}. Out: {} or {"error"}.
"""

import json
import sys
from types import SimpleNamespace

from http_message_signatures import (
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)

given = json.load(sys.stdin)
request = given["request"]


class Keys(HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id):
        return bytes.fromhex(given["secret_hex"])


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
    signature_algorithm=algorithms.HMAC_SHA256, key_resolver=Keys()
)
try:
    verifier.verify(
        message, expect_tag="keyferry", require_components=given["covered"]
    )
    print("{}")
except Exception as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
