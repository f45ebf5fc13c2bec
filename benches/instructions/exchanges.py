"""Whole requests through the real program, counted on a kept connection, one at a time."""

import http.client
import socket
import ssl
from dataclasses import dataclass

import callgrind
from gateways import Keyferry
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded
from proof import HOST, unknown

TARGET = "/v1/orders?limit=10"
HEADERS = {"user-agent": "bench/1", "accept": "application/json"}
# How many keys are used in turn; in front of what is counted, each was used already.
KEYS = 100
REQUESTS = 500

# What runs a task, and the tasks that a request runs in: its connection's, over HTTP/2 one of its own, and one that watches
# the backend's connection while nobody uses it. What goes by time runs in others, and is not counted.
RUNTIME = "tokio::runtime::task::"
TASKS = (
    "pingora_core::services::listening::Service<A>::run_endpoint::",
    "keyferry::door::http::http2::",
    "pingora_core::connectors::TransportConnector::release_stream::",
)


@dataclass(frozen=True)
class Exchange:
    """A kind of request."""

    http2: bool = False
    certificate: bool = False
    status: int = 200


EXCHANGES = {
    "request/key": Exchange(),
    "request/certificate": Exchange(certificate=True),
    "request/refused": Exchange(status=401),
    "request/http2/key": Exchange(http2=True),
    "request/http2/certificate": Exchange(http2=True, certificate=True),
    "request/http2/refused": Exchange(http2=True, status=401),
}


class Counted(Keyferry):
    """Keyferry under callgrind, which counts nothing until it is told to."""

    def command(self, file):
        self.out = self.folder / "counted"
        self.dumps = 0
        return *callgrind.command(self.out, "--instr-atstart=no"), *super().command(file)

    def instructions(self, exchange):
        """What one such request costs, on average."""
        client = Client(self, exchange)
        client.ask(KEYS)
        pid = self.process.pid
        callgrind.control(pid, "--instr=on")
        client.ask(REQUESTS)
        callgrind.control(pid, "--instr=off")
        callgrind.control(pid, "--dump")
        client.close()
        self.dumps += 1
        dump = callgrind.dump(self.out, self.dumps)
        counted = [callgrind.called(dump, RUNTIME, task) for task in TASKS]
        # Every request wakes its connection, and over HTTP/2 the task of its own.
        for task, (_, polls) in zip(TASKS[: 1 + exchange.http2], counted):
            if polls < REQUESTS:
                raise SystemExit(f"{REQUESTS} requests were answered with {polls} polls of {task}: was it renamed?")
        return sum(instructions for instructions, _ in counted) / REQUESTS


class Client:
    """A connection that is kept, and requests on it that are answered as they should be."""

    def __init__(self, gateway, exchange):
        shared, self.exchange, self.number = gateway.shared, exchange, 0
        context = ssl.create_default_context(cafile=shared.folder / "servers-root.pem")
        # As `make bench-compare` has it.
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["h2" if exchange.http2 else "http/1.1"])
        keys = [key for _, _, key in shared.identities[:KEYS]]
        self.keys = [unknown(key) for key in keys] if exchange.status == 401 else keys
        if exchange.certificate:
            _, client, _ = shared.identities[0]
            context.load_cert_chain(*(shared.folder / f"{client}.{extension}" for extension in ("pem", "key")))
            self.keys = []
        plain = socket.create_connection(("127.0.0.1", gateway.port), timeout=60)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = context.wrap_socket(plain, server_hostname=HOST)
        self.http = (Http2 if exchange.http2 else Http1)(self.stream)

    def ask(self, requests):
        for _ in range(requests):
            headers = dict(HEADERS)
            if self.keys:
                headers["x-api-key"] = self.keys[self.number % len(self.keys)]
            status = self.http.ask(headers)
            if status != self.exchange.status:
                raise SystemExit(f"{self.exchange} was answered with {status}")
            self.number += 1

    def close(self):
        self.stream.close()


class Http1:
    def __init__(self, stream):
        self.connection = http.client.HTTPConnection(HOST)
        self.connection.sock = stream

    def ask(self, headers):
        self.connection.request("GET", TARGET, headers=headers)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status


class Http2:
    def __init__(self, stream):
        self.stream, self.connection = stream, H2Connection()
        self.connection.initiate_connection()
        self.send()

    def ask(self, headers):
        number = self.connection.get_next_available_stream_id()
        pseudo = {":method": "GET", ":scheme": "https", ":authority": HOST, ":path": TARGET}
        self.connection.send_headers(number, [*pseudo.items(), *headers.items()], end_stream=True)
        self.send()
        status = None
        while True:
            received = self.stream.recv(65536)
            if not received:
                raise SystemExit("the gateway closed the connection")
            for event in self.connection.receive_data(received):
                if isinstance(event, ResponseReceived):
                    status = int(dict(event.headers)[b":status"])
                elif isinstance(event, DataReceived):
                    self.connection.acknowledge_received_data(event.flow_controlled_length, number)
                elif isinstance(event, StreamEnded):
                    self.send()
                    return status
            self.send()

    def send(self):
        if data := self.connection.data_to_send():
            self.stream.sendall(data)
