"""Calls over and over, as clients of different kinds do, until the file `until` is there.

In: {"address": "ip:port", "host", "authority": PEM file, "certificate", "key": PEM files, "until": path, "path",
"callers": {"new": N, "kept": N, "h2": N}, "may_refuse": bool}. `new` connects for each request, `kept`
keeps its HTTP/1.1 connection until an answer says `Connection: close` or the server has closed it before
a request was sent, `h2` sends four requests at a time over HTTP/2 and goes elsewhere when told to by
GOAWAY. No request that may have been processed is sent again: each is a POST.
Out: {kind: {"answers", "connections", "told": how often it was told to go, "refused": handshakes that
did not complete, "failures": [text]}}. A caller that was refused pauses; without "may_refuse" that is a
failure.
"""

import json
import os
import socket
import ssl
import sys
import threading
import time

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from h2_frames import Frames

given = json.load(sys.stdin)
address, port = given["address"].rsplit(":", 1)
together = 4
lock = threading.Lock()
counts = {
    kind: {"answers": 0, "connections": 0, "told": 0, "refused": 0, "failures": []}
    for kind in given["callers"]
}
# As load tools do: a moment between two requests.
REST = 0.005


def over():
    return os.path.exists(given["until"])


def count(kind, what, number=1):
    with lock:
        counts[kind][what] += number


def fail(kind, text):
    with lock:
        counts[kind]["failures"].append(f"{time.time():.3f} {text}")


def connect(kind, protocol):
    context = ssl.create_default_context(cafile=given["authority"])
    context.set_alpn_protocols([protocol])
    context.load_cert_chain(given["certificate"], given["key"])
    try:
        link = socket.create_connection((address, int(port)), timeout=30)
        link = context.wrap_socket(link, server_hostname=given["host"])
    except OSError as error:
        count(kind, "refused")
        if not given["may_refuse"]:
            fail(kind, f"connecting: {error!r}")
        time.sleep(0.05)
        return None
    count(kind, "connections")
    return link


def is_closed(link):
    """Whether the server has closed while nothing was on its way, as clients look before they send."""
    link.setblocking(False)
    try:
        # Session tickets are read and give no bytes.
        return link.recv(1) == b""
    except ssl.SSLWantReadError:
        return False
    except OSError:
        return True
    finally:
        link.settimeout(30)


def ask(link, close):
    """One request by HTTP/1.1. Gives whether the server keeps the connection."""
    connection = "close" if close else "keep-alive"
    link.sendall(
        f"POST {given['path']} HTTP/1.1\r\nHost: {given['host']}\r\nContent-Length: 4\r\n"
        f"Connection: {connection}\r\n\r\nload".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += more(link)
    head, body = answer.split(b"\r\n\r\n", 1)
    status, *fields = head.decode().split("\r\n")
    fields = dict(field.lower().split(": ", 1) for field in fields)
    while len(body) < int(fields["content-length"]):
        body += more(link)
    if status.split(" ")[1] != "200":
        raise OSError(status)
    return fields.get("connection") != "close"


def more(link):
    data = link.recv(65536)
    if not data:
        raise OSError("the connection ended before the answer")
    return data


def call_anew():
    while not over():
        link = connect("new", "http/1.1")
        if link is None:
            continue
        try:
            ask(link, True)
            count("new", "answers")
        except OSError as error:
            fail("new", f"{error!r}")
        link.close()
        time.sleep(REST)


def call_kept():
    link = None
    while not over():
        if link is not None and is_closed(link):
            link.close()
            link = None
        if link is None:
            link = connect("kept", "http/1.1")
            if link is None:
                continue
        try:
            is_kept = ask(link, False)
            count("kept", "answers")
            if not is_kept:
                count("kept", "told")
        except OSError as error:
            is_kept = False
            fail("kept", f"{error!r}")
        if not is_kept:
            link.close()
            link = None
        time.sleep(REST)


def call_h2():
    # Requests that a server did not take, by its own word, go to another connection.
    moved = 0
    while not over():
        link = connect("h2", "h2")
        if link is not None:
            moved = exchange(link, moved)
            link.close()


def exchange(link, moved):
    """Calls on one connection until the server ends it. Gives how many requests it did not take."""
    connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    frames = Frames(connection)
    open_streams = set()
    told = False
    try:
        connection.initiate_connection()
        while True:
            while not told and len(open_streams) < together and (moved or not over()):
                stream = connection.get_next_available_stream_id()
                connection.send_headers(
                    stream,
                    [
                        (":method", "POST"),
                        (":scheme", "https"),
                        (":authority", given["host"]),
                        (":path", given["path"]),
                        ("content-length", "4"),
                    ],
                )
                connection.send_data(stream, b"load", end_stream=True)
                open_streams.add(stream)
                moved = max(0, moved - 1)
            link.sendall(connection.data_to_send())
            if not open_streams:
                # Nothing is on its way; the server may end the connection or not.
                return 0
            data = link.recv(65536)
            if not data:
                fail("h2", f"ended with {len(open_streams)} requests on their way")
                return 0
            for event in frames.events(data):
                if isinstance(event, ConnectionTerminated):
                    if not told:
                        count("h2", "told")
                    told = True
                    if event.error_code:
                        fail("h2", f"GOAWAY with {event.error_code}")
                    untaken = {s for s in open_streams if s > event.last_stream_id}
                    open_streams -= untaken
                    moved += len(untaken)
                elif isinstance(event, ResponseReceived):
                    status = dict(event.headers)[":status"]
                    if status != "200":
                        fail("h2", f"status {status}")
                elif isinstance(event, DataReceived):
                    connection.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                elif isinstance(event, StreamEnded):
                    open_streams.discard(event.stream_id)
                    count("h2", "answers")
                elif isinstance(event, StreamReset):
                    open_streams.discard(event.stream_id)
                    if event.error_code == 7:
                        # REFUSED_STREAM: it was not taken.
                        moved += 1
                    else:
                        fail("h2", f"reset with {event.error_code}")
            link.sendall(connection.data_to_send())
            if told and not open_streams:
                return moved
            time.sleep(REST)
    except (OSError, ProtocolError) as error:
        fail("h2", f"{error!r} with {len(open_streams)} requests on their way")
        return 0


kinds = {"new": call_anew, "kept": call_kept, "h2": call_h2}
threads = [
    threading.Thread(target=kinds[kind])
    for kind, number in given["callers"].items()
    for _ in range(number)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(counts))
