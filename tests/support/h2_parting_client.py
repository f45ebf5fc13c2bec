"""One HTTP/2 connection from before the server says GOAWAY until its end.

In: {"address": "ip:port", "host", "authority": PEM file, "certificate", "key": PEM files, "path", "told":
path of a file}. Sends a GET for "path", waits for the first GOAWAY, writes the file "told", and sends
another GET on the same connection, as a client may for which the GOAWAY is still on its way; then reads
until the server closes.
Out: {"goaways": [{"code", "last"}], "answers": [status or 0]}.
"""

import json
import socket
import ssl
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, ResponseReceived
from h2_frames import Frames

given = json.load(sys.stdin)
address, port = given["address"].rsplit(":", 1)
context = ssl.create_default_context(cafile=given["authority"])
context.set_alpn_protocols(["h2"])
context.load_cert_chain(given["certificate"], given["key"])
link = socket.create_connection((address, int(port)), timeout=50)
link = context.wrap_socket(link, server_hostname=given["host"])
connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
frames = Frames(connection)
answers = {}
goaways = []


def ask(path):
    stream = connection.get_next_available_stream_id()
    answers[stream] = 0
    connection.send_headers(
        stream,
        [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", given["host"]),
            (":path", path),
        ],
        end_stream=True,
    )


connection.initiate_connection()
ask(given["path"])
link.sendall(connection.data_to_send())
while data := link.recv(65536):
    for event in frames.events(data):
        if isinstance(event, ConnectionTerminated):
            goaways.append({"code": int(event.error_code), "last": event.last_stream_id})
            if len(goaways) == 1:
                open(given["told"], "w").close()
                ask("/second")
        elif isinstance(event, ResponseReceived):
            answers[event.stream_id] = int(dict(event.headers)[":status"])
    try:
        link.sendall(connection.data_to_send())
    except OSError:
        break
print(json.dumps({"goaways": goaways, "answers": list(answers.values())}))
