"""A receiver of webhooks: checks what comes with the library of the Standard Webhooks project.

POST anything     a message; answered as `mode` says
GET  /messages    all that came so far, as JSON, each with whether the library believes it
PUT  /mode        {"answer": STATUS, "times": N}: so many messages are answered thus, and then 200; with
                  "headers" these are sent along, and with "slow" each answer waits so many seconds;
                  {}: all is well again
Takes the secrets that it knows as arguments, and the PEM files of a certificate chain and its key when it is
to speak TLS. Writes `port N`.
"""

import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

messages, mode = [], {}
secrets = [Webhook(secret) for secret in sys.argv[1:] if secret.startswith("whsec_")]
pair = [file for file in sys.argv[1:] if not file.startswith("whsec_")]


def believes(secret, body, headers):
    try:
        secret.verify(body, headers)
        return True
    except WebhookVerificationError:
        return False


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, further = 200, {}
        if mode.get("times", 0) > 0:
            mode["times"] -= 1
            status, further = mode["answer"], mode.get("headers", {})
        messages.append(
            {
                "path": self.path,
                "headers": headers,
                "body": body.decode(),
                "believed": [believes(secret, body, headers) for secret in secrets],
                "status": status,
                "at": time.time(),
            }
        )
        time.sleep(mode.get("slow", 0))
        self.answer(status, b"", further)

    def do_PUT(self):
        mode.clear()
        mode.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer(200, b"{}", {})

    def do_GET(self):
        self.answer(200, json.dumps(messages).encode(), {})

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if pair:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(f"port {server.server_port}", flush=True)
server.serve_forever()
