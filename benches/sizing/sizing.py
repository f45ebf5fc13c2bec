#!/usr/bin/env python3
"""What a gateway costs beside what `make bench-compare` measures: memory of connections and of Redis, bytes on the wire,
and CPU time as a ratio to that of a request by key. `make bench-sizing`; docs/OPERATIONS.md uses the figures.

CPU time is what the kernel accounts to the gateway's process (/proc/PID/stat), so other work on the machine moves it
less than it moves time; its ratios are those of the build that is measured. Only loopback is used."""

import argparse
import os
import pathlib
import resource
import secrets
import socket
import ssl
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/operations"))
from world import HOST, World, wait_for  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
MORE = '[limits]\nexempt = ["127.0.0.0/8"]\n[http]\nrequests_per_connection = 1000000\n'


class Client:
    """A connection over TLS 1.3 that is kept."""

    def __init__(self, world, context, credential=b"", session=None):
        plain = socket.create_connection(("127.0.0.1", world.ports[0][0]))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = context.wrap_socket(plain, server_hostname=HOST, session=session)
        self.request = b"GET /v1/orders?limit=10 HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\n" + credential + b"\r\n"

    def ask(self):
        self.stream.sendall(self.request)
        answer = self.stream.recv(65536)
        while b"\r\n\r\nok" not in answer:
            more = self.stream.recv(65536)
            assert more, answer
            answer += more
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        return answer

    def bytes(self):
        """What this side has sent and received, with TLS, without TCP's own headers."""
        info = self.stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
        return struct.unpack_from("QQ", info, 120)


def context(world, name=None):
    made = ssl.create_default_context(cafile=world.path / "servers.pem")
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    if name:
        made.load_cert_chain(world.path / f"{name}.pem", world.path / f"{name}.key")
    return made


def cpu(world):
    fields = pathlib.Path(f"/proc/{world.gateways[0].pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(world):
    status = pathlib.Path(f"/proc/{world.gateways[0].pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def cost(world, times, action):
    before = cpu(world)
    for _ in range(times):
        action()
    return (cpu(world) - before) / times * 1e6


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--requests", type=int, default=3000, help="for each kind")
    arguments.add_argument("--connections", type=int, default=2000, help="that are held open, for their memory")
    arguments.add_argument("--clients", type=int, default=300, help="that are made, for the memory of Redis")
    options = arguments.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (16384, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    world = World(MORE)
    try:
        world.start()
        world.sh("keyferry client add acme; keyferry certificate add --client acme acme.pem")
        key = world.sh("keyferry key issue --client acme").split()[0]
        wait_for("the client", lambda: world.by_key(key) == 200 and world.by_certificate() == 200)
        store(world, options.clients)
        measure(world, options, f"Authorization: Bearer {key}\r\n".encode())
    finally:
        world.close()


def store(world, number):
    """What clients take in Redis, with a certificate and a key each, and what the events of that take beside them."""
    def used(name=""):
        ask = f"memory usage kf:{{kf}}:{name} samples 0" if name else "info memory | grep ^used_memory: | cut -d: -f2"
        return int(world.sh(f"{world.redis_cli} {ask}"))

    def events():
        return int(world.sh(f"{world.redis_cli} xlen kf:{{kf}}:events"))

    before, trail, made = used(), used("events"), events()
    for first in range(0, number, 10):
        world.sh("".join(
            f"keyferry client add partner-{n:06} > /dev/null; keyferry key issue --client partner-{n:06} > /dev/null; "
            f"keyferry certificate add --client partner-{n:06} {secrets.token_hex(32)} > /dev/null\n"
            for n in range(first, first + 10)
        ))
    trail, made = used("events") - trail, events() - made
    each = (used() - before - trail) / number
    print(f"Redis: {each:.0f} bytes a client with a certificate and a key; {trail / made:.0f} bytes an event, {made / number:.1f} a client")


def measure(world, options, by_key):
    nobody, acme = context(world), context(world, "acme")
    kept, certified = Client(world, nobody, by_key), Client(world, acme)
    kept.ask(), certified.ask()
    base = cost(world, options.requests, kept.ask)
    rows = [
        ("a request by key", base),
        ("a request by certificate", cost(world, options.requests, certified.ask)),
        ("a connection and a request by key", cost(world, options.requests // 6, lambda: once(world, nobody, by_key))),
        ("the same by certificate", cost(world, options.requests // 6, lambda: once(world, acme))),
        ("the same by certificate, resumed", cost(world, options.requests // 6, lambda: once(world, acme, b"", certified))),
    ]
    for what, each in rows:
        print(f"CPU: {what}: {each:.0f} µs, {each / base:.1f} times a request by key")
    for what, client in (("by key", Client(world, nobody, by_key)), ("by certificate", Client(world, acme))):
        first = client.ask()
        handshake = client.bytes()
        for _ in range(100):
            client.ask()
        sent, received = ((now - then) / 100 for now, then in zip(client.bytes(), handshake))
        shake = [total - each for total, each in zip(handshake, (sent, received))]
        print(f"bytes, {what}: handshake {shake[0]:.0f} up and {shake[1]:.0f} down; a request {sent:.0f} up "
              f"({len(client.request)} plain), {received:.0f} down ({len(first)} plain); to the backend "
              f"{len(world.backend.head) + 2}")
    for what, made, credential in (("by key", nobody, by_key), ("by certificate", acme, b"")):
        world.restart(0)
        wait_for("it to know the client", lambda: world.by_key(by_key.split()[-1].decode()) == 200)
        warm = [Client(world, made, credential) for _ in range(50)]
        [client.ask() for client in warm]
        before = resident(world)
        held = [Client(world, made, credential) for _ in range(options.connections)]
        [client.ask() for client in held]
        each = (resident(world) - before) / len(held)
        print(f"memory: an idle connection {what}: {each / 1024:.0f} KiB, of {before >> 20} MiB without")


def once(world, made, credential=b"", resumed=None):
    client = Client(world, made, credential, resumed and resumed.stream.session)
    assert client.stream.session_reused == bool(resumed)
    client.ask()
    client.stream.close()


if __name__ == "__main__":
    main()
