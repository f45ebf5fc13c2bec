"""A WebSocket server: first a message with the request as it came, {target, headers}; then every
message back. It sends no pings, which clients by hand would not answer. Writes `port N`."""

import json

from websockets.sync.server import serve


def echo(connection):
    request = connection.request
    headers = [[name, value] for name, value in request.headers.raw_items()]
    connection.send(json.dumps({"method": "GET", "target": request.path, "headers": headers}))
    for message in connection:
        connection.send(message)


with serve(echo, "127.0.0.1", 0, ping_interval=None) as server:
    print(f"port {server.socket.getsockname()[1]}", flush=True)
    server.serve_forever()
