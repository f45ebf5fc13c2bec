"""Several requests at a time on one connection of HTTP/2, each until its answer ends or is reset.

In: {"address": "ip:port", "host", "authority": PEM file, "streams": [{"path", "authorization"}]}.
Out: {"reset": [stream], "ended": [stream], "bodies": {stream: text}}.
"""

import json
import socket
import ssl
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded, StreamReset

given = json.load(sys.stdin)
address, port = given["address"].rsplit(":", 1)
context = ssl.create_default_context(cafile=given["authority"])
context.set_alpn_protocols(["h2"])
link = socket.create_connection((address, int(port)), timeout=50)
link = context.wrap_socket(link, server_hostname=given["host"])
connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
connection.initiate_connection()
for index, stream in enumerate(given["streams"]):
    connection.send_headers(
        2 * index + 1,
        [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", given["host"]),
            (":path", stream["path"]),
            ("authorization", stream["authorization"]),
        ],
        end_stream=True,
    )
reset, ended, bodies = [], [], {}
while len(reset) + len(ended) < len(given["streams"]):
    link.sendall(connection.data_to_send())
    data = link.recv(65536)
    if not data:
        break
    for event in connection.receive_data(data):
        if isinstance(event, DataReceived):
            text = bodies.get(event.stream_id, "") + event.data.decode()
            bodies[event.stream_id] = text
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            ended.append(event.stream_id)
        elif isinstance(event, StreamReset):
            reset.append(event.stream_id)
print(json.dumps({"reset": reset, "ended": ended, "bodies": bodies}))
