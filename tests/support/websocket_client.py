"""Opens a WebSocket, takes the greeting, sends messages and collects the answers.

In: {"address": "ip:port", "host", "path", "authority": PEM file or null, "certificate", "key":
PEM files or null, "headers": [[name, value]], "messages": [text]}.
With "until_closed", it then waits until the server closes.
Out: {"greeting", "messages", "closed": [code, reason]}, or {"status", "body"} when the upgrade was refused, or {"error"}.
"""

import asyncio
import json
import socket
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

given = json.load(sys.stdin)
address, port = given["address"].rsplit(":", 1)
options = {}
scheme = "ws"
if given.get("authority"):
    scheme = "wss"
    context = ssl.create_default_context(cafile=given["authority"])
    if given.get("certificate"):
        context.load_cert_chain(given["certificate"], given["key"])
    options = {"ssl": context, "server_hostname": given["host"]}


async def converse():
    async with connect(
        f"{scheme}://{given['host']}:{port}{given['path']}",
        sock=socket.create_connection((address, int(port)), timeout=30),
        additional_headers=[(name, value) for name, value in given.get("headers", [])],
        open_timeout=30,
        proxy=None,
        **options,
    ) as connection:
        greeting = json.loads(await heard(connection))
        answers = []
        for message in given["messages"]:
            await connection.send(message)
            answers.append(await heard(connection))
        told = {"greeting": greeting, "messages": answers}
        if given.get("until_closed"):
            try:
                await heard(connection, 50)
            except ConnectionClosed as closed:
                told["closed"] = closed.rcvd and [closed.rcvd.code, closed.rcvd.reason]
        return told


async def heard(connection, seconds=30):
    return await asyncio.wait_for(connection.recv(), seconds)


# One thread alone: the client of `websockets.sync` reads in a second one, and OpenSSL's connections are not made for two.
try:
    print(json.dumps(asyncio.run(converse())))
except InvalidStatus as refused:
    answer = refused.response
    print(json.dumps({"status": answer.status_code, "body": answer.body.decode()}))
except (WebSocketException, OSError) as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
