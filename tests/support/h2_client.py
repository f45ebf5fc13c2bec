"""HTTP/2 frame by frame, with header blocks that no honest client sends: nothing is checked here.

In: {"address": "ip:port", "host", "authority": PEM file or null for h2c, "certificate", "key": PEM
files or null, "requests": [{"headers": [[name, value]], "body": text, "trailers": [[name, value]], "ends": "late" or "never"}],
"together": bool, "until": a file or null}. All requests go over one connection, one after another, or
all at once when "together", or again and again until that file is there. Out: {"answers": [{"status", "headers", "trailers", "body", "reset": code or null}],
"goaway": code or null, "error": text or null}.
"""

import json
import os
import socket
import ssl
import sys
import time

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

given = json.load(sys.stdin)
address, port = given["address"].rsplit(":", 1)
link = socket.create_connection((address, int(port)), timeout=30)
if given.get("authority"):
    context = ssl.create_default_context(cafile=given["authority"])
    context.set_alpn_protocols(["h2"])
    if given.get("certificate"):
        context.load_cert_chain(given["certificate"], given["key"])
    link = context.wrap_socket(link, server_hostname=given["host"])
    assert link.selected_alpn_protocol() == "h2", "the server does not speak HTTP/2"

connection = H2Connection(
    H2Configuration(
        client_side=True,
        header_encoding="utf-8",
        normalize_outbound_headers=False,
        validate_outbound_headers=False,
        normalize_inbound_headers=False,
        validate_inbound_headers=False,
    )
)
answers = {}
ended = set()
goaway = None
error = None


def flush():
    data = connection.data_to_send()
    if data:
        link.sendall(data)


def fields(pairs):
    return [[name, value] for name, value in pairs]


def send(request):
    stream = connection.get_next_available_stream_id()
    answers[stream] = {"status": 0, "headers": [], "trailers": [], "body": "", "reset": None}
    body = request.get("body", "").encode()
    trailers = request.get("trailers", [])
    headers = [(name, value) for name, value in request["headers"]]
    ends = request.get("ends", "")
    connection.send_headers(stream, headers, end_stream=not body and not trailers and not ends)
    if ends == "late":
        # An empty frame of DATA ends it, once the head has been taken for itself.
        flush()
        time.sleep(0.3)
        connection.end_stream(stream)
    if body:
        connection.send_data(stream, body, end_stream=not trailers)
    if trailers:
        connection.send_headers(stream, [(n, v) for n, v in trailers], end_stream=True)
    flush()
    return stream


def receive():
    """One read from the network; False when the server has closed."""
    global goaway
    data = link.recv(65536)
    if not data:
        return False
    for event in connection.receive_data(data):
        answer = answers.get(getattr(event, "stream_id", None))
        if isinstance(event, ConnectionTerminated):
            goaway = int(event.error_code)
        elif answer is None:
            continue
        elif isinstance(event, ResponseReceived):
            answer["headers"] = fields(event.headers)
            answer["status"] = int(dict(event.headers)[":status"])
        elif isinstance(event, TrailersReceived):
            answer["trailers"] = fields(event.headers)
        elif isinstance(event, DataReceived):
            answer["body"] += event.data.decode(errors="replace")
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            ended.add(event.stream_id)
        elif isinstance(event, StreamReset):
            answer["reset"] = int(event.error_code)
            ended.add(event.stream_id)
    flush()
    return goaway is None


def finish(streams):
    while not ended.issuperset(streams):
        if not receive():
            return False
    return True


try:
    connection.initiate_connection()
    flush()
    if given.get("together"):
        finish([send(request) for request in given["requests"]])
    else:
        until = given.get("until")
        again = True
        while again:
            for request in given["requests"]:
                if not finish([send(request)]):
                    until = None
                    break
            again = until is not None and not os.path.exists(until)
except (OSError, ProtocolError) as problem:
    error = f"{type(problem).__name__}: {problem}"

print(json.dumps({"answers": list(answers.values()), "goaway": goaway, "error": error}))
