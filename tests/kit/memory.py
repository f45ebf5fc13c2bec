"""How a server keeps signatures: as many as it may, each until it has ended, and it refuses what it cannot keep."""

import base64
import hmac
import uuid

import vectors

KEY_ID, SECRET = "orders-1", b"a secret that is as long as it has to be"
KEPT = 2


def signed(now):
    """A request that the gateway would have signed at that time."""
    lines = {"@method": "GET", "@authority": "api.example.com", "@path": "/", "@query": "?", **vectors.IDENTITY}
    listed = " ".join(f'"{name}"' for name in lines)
    rest = f'nonce="{uuid.uuid4()}";alg="hmac-sha256";keyid="{KEY_ID}";tag="keyferry"'
    parameters = f"({listed});created={now};expires={now + 60};{rest}"
    base = "".join(f'"{name}": {value}\n' for name, value in lines.items()) + f'"@signature-params": {parameters}'
    mac = base64.b64encode(hmac.digest(SECRET, base.encode(), "sha256")).decode()
    headers = [*vectors.IDENTITY.items(), ("Signature-Input", f"gw={parameters}"), ("Signature", f"gw=:{mac}:")]
    return vectors.wire({"method": "GET", "target": "/", "authority": "api.example.com", "headers": headers})


def found(server, clock, now):
    """What is wrong with its memory."""

    def says(request):
        answer = vectors.Answer(server.port, request)
        return answer.status if answer.status == 200 else answer.reason()

    first = [signed(now) for _ in range(KEPT)]
    said = [says(request) for request in [*first, signed(now), *first]]
    expected = [200] * KEPT + ["too_many_signatures"] + ["signature_replayed"] * KEPT
    if said != expected:
        yield f"with room for {KEPT} it says {said}, not {expected}"
    clock.write_text(str(now + 66))
    said = [says(signed(now + 66)), says(first[0])]
    if said != [200, "signature_not_current"]:
        yield f"when those have ended it says {said}"
