"""What receivers have in common: they answer as they are told to, and serve until they are ended.

PUT  /mode        {"answer": STATUS, "times": N}: so many posts are answered thus, and then 200; what else may
                  stand there each receiver says; {}: all is well again
Takes the PEM files of a certificate chain and its key when it is to speak TLS. Writes `port N`.
"""

import json
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition

mode, changed = {}, Condition()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        return self.rfile.read(int(self.headers["Content-Length"]))

    def is_planned(self):
        """Whether this post is to be answered with `mode["answer"]`."""
        if mode.get("times", 0) == 0:
            return False
        mode["times"] -= 1
        return True

    def do_PUT(self):
        told = json.loads(self.body())
        with changed:
            mode.clear()
            mode.update(told)
            changed.notify_all()
        self.answer_json({})

    def answer_json(self, what):
        self.answer(200, json.dumps(what).encode(), {"Content-Type": "application/json"})

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(handler, pair):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if pair:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(f"port {server.server_port}", flush=True)
    server.serve_forever()
