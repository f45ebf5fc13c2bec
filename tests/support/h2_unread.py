"""One request after the other on one connection of HTTP/2 whose streams have no window: of each answer the
head comes, and its body waits.

In: {"address": "ip:port", "host", "authority": PEM file, "requests": [{"method", "path", "is_open",
"headers": {name: value}}]}. After one that is open its body never comes, and nothing is waited for. Out: {"statuses": [status of each
that was waited for], "ended": how many answers came to their end}.
"""

import json
import socket
import ssl
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived, StreamEnded
from h2.settings import SettingCodes, Settings

given = json.load(sys.stdin)
address, port = given["address"].rsplit(":", 1)
context = ssl.create_default_context(cafile=given["authority"])
context.set_alpn_protocols(["h2"])
link = socket.create_connection((address, int(port)), timeout=50)
link = context.wrap_socket(link, server_hostname=given["host"])
connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
none = {SettingCodes.INITIAL_WINDOW_SIZE: 0, SettingCodes.ENABLE_PUSH: 0}
connection.local_settings = Settings(client=True, initial_values=none)
connection.initiate_connection()
statuses, ended = [], 0
for index, request in enumerate(given["requests"]):
    connection.send_headers(
        2 * index + 1,
        [
            (":method", request["method"]),
            (":scheme", "https"),
            (":authority", given["host"]),
            (":path", request["path"]),
            *request.get("headers", {}).items(),
        ],
        end_stream=not request["is_open"],
    )
    link.sendall(connection.data_to_send())
    status = None if not request["is_open"] else "open"
    while status is None:
        data = link.recv(65536)
        assert data, "closed"
        for event in connection.receive_data(data):
            if isinstance(event, ResponseReceived):
                status = int(dict(event.headers)[":status"])
            elif isinstance(event, StreamEnded):
                ended += 1
        link.sendall(connection.data_to_send())
    if status != "open":
        statuses.append(status)
print(json.dumps({"statuses": statuses, "ended": ended}))
