"""Sends the vectors of tests/data/signature to a server, byte by byte as they are, and judges what comes back."""

import json
import pathlib
import re
import socket
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ALGORITHM = "hmac-sha256"

# Whom the evil ones were signed for before they were changed; and the same as headers.
SIGNED = {"client": "acme-payments", "key_id": "0197f3c2a1b27c3d8e4f5a6b7c8d9e0f", "scopes": "orders:read orders:write"}
IDENTITY = {"x-key-id": SIGNED["key_id"], "x-client-id": SIGNED["client"]}

LATE = 0.3

# Reasons that say the same of a request whose headers a server has joined or folded before anybody saw them.
ALIKE = {"header_disguised", "signature_header", "signature_malformed", "signature_mismatch"}


class Vectors:
    """All files for the algorithm; each names it, or its cases do."""

    def __init__(self):
        self.cases, self.secrets = [], {}
        for file in sorted((ROOT / "tests/data/signature").glob("*.json")):
            data = json.loads(file.read_text())
            cases = [case for case in data["cases"] if case.get("alg", data.get("alg")) == ALGORITHM]
            if cases:
                self.now = data["now"]
                self.cases += cases
                self.secrets |= {name: bytes.fromhex(secret) for name, secret in data["secrets"].items()}

    def write_secrets(self, folder):
        folder.mkdir()
        for name, secret in self.secrets.items():
            (folder / name).write_bytes(secret)
        return folder


def wire(case):
    """The request, with each character as one byte."""
    lines = [f"{case['method']} {case['target']} {case.get('version', 'HTTP/1.1')}"]
    lines += [f"Host: {case['authority']}"] if case["authority"] is not None else []
    lines += [f"{name}: {value}" for name, value in case["headers"]]
    body = case.get("body")
    is_chunked = any(name == "Transfer-Encoding" for name, _ in case["headers"])
    lines += [f"Content-Length: {len(body)}"] if body is not None and not is_chunked else []
    lines += ["Connection: close", "", body or ""]
    return "\r\n".join(lines).encode("latin-1")


class Answer:
    """What came back until the end; status 0 when nothing did."""

    def __init__(self, port, request):
        came = b""
        try:
            with socket.create_connection(("127.0.0.1", port), 10) as connection:
                head, end, body = request.partition(b"\r\n\r\n")
                connection.sendall(head + end)
                if b"Transfer-Encoding: chunked" in head:
                    # What comes late must change nothing that was checked.
                    time.sleep(LATE)
                connection.sendall(body)
                while piece := connection.recv(65536):
                    came += piece
        except OSError:
            pass
        head, _, self.body = came.decode("latin-1").partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        found = re.match(r"HTTP/1\.[01] (\d{3})", first)
        self.status = int(found[1]) if found else 0
        self.headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)

    def echo(self):
        """Whom the application saw; none when it was not called."""
        names = ("echo-client", "echo-key-id", "echo-scopes")
        found = [self.headers.get(name) for name in names]
        return None if self.status != 200 else [value or "" for value in found]

    def reason(self):
        found = re.search(r'"reason": ?"(\w+)"|^(?:[0-9a-f]+\r\n)?(\w+_\w+)', self.body)
        return found and (found[1] or found[2])

    def __str__(self):
        return f"{self.status} {self.reason() or self.body[:60]!r} {self.echo() or ''}"


def seen(accept):
    return [accept[name].lower() for name in ("client", "key_id", "scopes")]


def scopes_of(case):
    """Those that were signed."""
    covered = any("x-key-scopes" in value for name, value in case["headers"] if name == "Signature-Input")
    return {} if covered else {"scopes": ""}


def judge(port, case, known):
    """What is wrong with the answers of a server, or none; `known` are its habits by the names of cases."""
    answer = Answer(port, wire(case))
    accept, refuse = case["expect"].get("accept"), case["expect"].get("refuse")
    if accept and case["name"] in known:
        is_refused = answer.status in (400, 401) and answer.echo() is None
        return None if is_refused else f"is no habit of this server any more; take it out of habits.py: {answer}"
    if accept:
        if answer.echo() != seen(accept):
            return f"not believed: {answer}"
        again = Answer(port, wire(case))
        # The answer to HEAD has no body to say why.
        is_told = again.reason() == "signature_replayed" or case["method"] == "HEAD"
        return None if again.status == 401 and is_told else f"believed again: {again}"
    if answer.echo() is not None:
        # What the server took away nobody can see; the application must then see what was signed.
        is_harmless = case["name"] in known and answer.echo() == seen(SIGNED | scopes_of(case))
        return None if is_harmless else f"believed: {answer}"
    if case["name"] in known:
        return "is no habit of this server any more; take it out of habits.py"
    # The server itself may refuse what is no request, and what is long.
    if answer.status in (0, *range(400, 500)) and answer.reason() is None:
        return None
    is_same = answer.reason() == refuse or {answer.reason(), refuse} <= ALIKE or refuse == "request_malformed"
    return None if is_same and answer.status in (400, 401) else f"refused otherwise, not as {refuse}: {answer}"


def lost(port, cases, known):
    """The evil ones that an application without a verifier does not get either: those would show nothing."""
    evil = [case for case in cases if case["expect"].get("refuse") not in (None, "request_malformed")]
    evil = [case for case in evil if case["name"] not in known]
    return [case["name"] for case in evil if Answer(port, wire(case)).status != 200]
