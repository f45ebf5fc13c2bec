"""Ports to listen on: none that the system gives to whoever connects, and none twice."""

import contextlib
import random
import socket

PORTS = iter(random.sample(range(20_000, 32_000), 10_000))


def free_port():
    while True:
        port = next(PORTS)
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
