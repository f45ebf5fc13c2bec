"""The Python verifier before an application that says whom it sees: `wsgi` and `asgi`, for any server; `bare` has no
verifier. SECRETS is a folder of secrets by their key ids; NOW, when it is there, a file with the time; REMEMBER, how many
signatures are kept."""

import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "examples/verify"))

from keyferry_verify import AsgiMiddleware, Verifier, WsgiMiddleware, body_fits  # noqa: E402

SECRETS = {file.name: file.read_bytes().removesuffix(b"\n") for file in pathlib.Path(os.environ["SECRETS"]).iterdir()}
NOW = os.environ.get("NOW")
verifier = Verifier(
    SECRETS,
    remember=int(os.environ.get("REMEMBER", 100_000)),
    clock=(lambda: int(pathlib.Path(NOW).read_text())) if NOW else time.time,
)


def bare(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    digest = environ.get("HTTP_CONTENT_DIGEST")
    if digest is not None and not body_fits(digest, body) and application is not bare:
        start_response("401 Unauthorized", [("Content-Length", "13")])
        return [b"body_mismatch"]
    seen = [("Echo-Client", "HTTP_X_CLIENT_ID"), ("Echo-Key-Id", "HTTP_X_KEY_ID"), ("Echo-Scopes", "HTTP_X_KEY_SCOPES")]
    headers = [(name, environ.get(variable, "")) for name, variable in seen]
    start_response("200 OK", [*headers, ("Content-Length", "2")])
    return [b"ok"]


wsgi = WsgiMiddleware(bare, verifier)
application = bare if os.environ.get("BARE") else wsgi


async def application_of_asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    headers = dict(scope["headers"])
    digest = headers.get(b"content-digest")
    fits = digest is None or body_fits(digest.decode(), body)
    seen = [(b"echo-client", b"x-client-id"), (b"echo-key-id", b"x-key-id"), (b"echo-scopes", b"x-key-scopes")]
    echo = [(name, headers.get(header, b"")) for name, header in seen] if fits else []
    text = b"ok" if fits else b"body_mismatch"
    length = (b"content-length", str(len(text)).encode())
    await send({"type": "http.response.start", "status": 200 if fits else 401, "headers": [*echo, length]})
    await send({"type": "http.response.body", "body": text})


asgi = AsgiMiddleware(application_of_asgi, verifier)
