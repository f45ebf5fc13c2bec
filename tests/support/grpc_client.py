"""One gRPC call over TLS.

In: {"address", "host", "authority": PEM file, "certificate", "key": PEM files or null,
"metadata": [[name, value]], "method": "Unary" | "Stream" | "Fail", "messages": [text]}.
With "authority" null the call is in the clear. With "after_first": {"tell", "wait_for"} the file "tell" is
written after the first reply, and the other messages go out once the file "wait_for" is there.
Out: {"code", "details", "messages", "initial", "trailing"}; metadata as [[name, value]].
"""

import json
import os
import sys
import time

import grpc

given = json.load(sys.stdin)


def read(name):
    path = given.get(name)
    return open(path, "rb").read() if path else None


if given.get("authority"):
    channel = grpc.secure_channel(
        given["address"],
        grpc.ssl_channel_credentials(read("authority"), read("key"), read("certificate")),
        options=[
            ("grpc.ssl_target_name_override", given["host"]),
            ("grpc.default_authority", given["host"]),
        ],
    )
else:
    channel = grpc.insecure_channel(given["address"])

path = f"/keyferry.test.Echo/{given['method']}"
metadata = [(name, value) for name, value in given.get("metadata", [])]
messages = [message.encode() for message in given["messages"]]
pause = given.get("after_first")


def outgoing():
    for number, message in enumerate(messages):
        while pause and number and not os.path.exists(pause["wait_for"]):
            time.sleep(0.01)
        yield message


call = channel.stream_stream(path)(outgoing(), metadata=metadata, timeout=30)
replies = []
try:
    for reply in call:
        replies.append(reply.decode())
        if pause:
            open(pause["tell"], "w").close()
except grpc.RpcError:
    pass  # The code below says so.

print(
    json.dumps(
        {
            "code": call.code().name,
            "details": call.details(),
            "messages": replies,
            "initial": [[k, v] for k, v in call.initial_metadata() or []],
            "trailing": [[k, v] for k, v in call.trailing_metadata() or []],
        }
    )
)
# Without this the interpreter may wait for the channel's threads for ever.
channel.close()
