#!/usr/bin/env python3
"""Compares Keyferry with HAProxy doing the same job: `make bench-compare`.

First it proves that each of the two does the job. Then it runs both in turns under the same load and
prints what a request costs the gateway's process. docs/PERFORMANCE.md says what the figures mean.

Only loopback is used. Both gateways are pinned to one CPU, the load and the backend to another.
"""

import argparse
import base64
import hashlib
import hmac
import http.client
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib

HERE = pathlib.Path(__file__).resolve().parent
HOST = "api.example.com"
WORKLOADS = {
    # name: (what it is, requests a second when latency is measured)
    "key": ("key, kept connection", 1000),
    "certificate": ("certificate, kept connection", 1000),
    "handshake": ("certificate, full TLS 1.3 handshake for each request", 150),
}
# The list of docs/PROTOCOL.md, each "-" standing for whatever backends fold into one.
RESERVED = """
    signature signature-input x-api-key x-api-key-check x-key-id x-client-id x-key-scopes client-cert
    client-cert-chain x-client-cert x-client-cert-chain x-forwarded-client-cert x-arr-clientcert
    l5d-client-id x-ssl-cert ssl-cert x-client-verify
""".split()
RESERVED_PREFIXES = """
    x-ssl-client- ssl-client- x-forwarded-tls-client-cert x-amzn-mtls- cf-client-cert- x-consumer-
    x-client-cert- x-forwarded-client-cert- x-tls-client-
""".split()
FORGED = """
    X-Key-Id x_key_id X.Client.Id X-Client-Id X-Key-Scopes Signature Signature-Input Client-Cert
    X-Forwarded-Client-Cert X-SSL-Client-Verify SSL-Client-Cert X-Consumer-Username
    Cf-Client-Cert-Sha256 X-Amzn-Mtls-Clientcert X_SSL_CLIENT_S_DN
""".split()


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    arguments.add_argument("--connections", type=int, default=16)
    arguments.add_argument("--groups", default="X25519", help="for the key exchange")
    arguments.add_argument("--built", type=pathlib.Path, default=HERE.parent.parent / "target/release",
                           help="where keyferry and examples/compare are")
    arguments.add_argument("--prove", action="store_true", help="only prove that both do the job")
    options = arguments.parse_args()

    for program in ("haproxy", "nginx"):
        if not find(program):
            sys.exit(f"{program} is missing; bring it with: apt-get install haproxy nginx-light")
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        sys.exit("two CPUs are needed: one for the gateway, one for the load")

    with tempfile.TemporaryDirectory(prefix="keyferry-compare-") as folder:
        os.sched_setaffinity(0, cpus[1:2])
        bench = Bench(pathlib.Path(folder), cpus[0], options)
        try:
            bench.prepare()
            bench.prove()
            if not options.prove:
                bench.measure()
        finally:
            bench.end()


def find(program):
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


class Bench:
    def __init__(self, folder, cpu, options):
        self.folder, self.cpu, self.options = folder, cpu, options
        self.processes = []
        self.gateways = {}  # name: (process, port)
        self.backend = free_port()

    def prepare(self):
        self.tool("seed", str(self.folder))
        secret = lambda name: (self.folder / name).read_bytes()
        self.signing = secret("signing.key")
        lines = (self.folder / "identities").read_text().splitlines()
        self.identities = [line.split() for line in lines]
        (self.folder / "haproxy.pem").write_bytes(secret("server.pem") + secret("server.key"))
        fold = lambda names: "|".join(name.replace("-", "[^a-z0-9]") for name in names)
        self.values = {
            "folder": self.folder,
            "backend": self.backend,
            "telemetry": free_port(),
            "pepper": base64.b64encode(secret("pepper.key")).decode(),
            "signing": base64.b64encode(self.signing).decode(),
            "reserved": f"^(?:(?:{fold(RESERVED)})$|{fold(RESERVED_PREFIXES)})",
        }
        keyferry = self.configure("keyferry.toml", port := free_port())
        self.gateways["Keyferry"] = self.start(self.options.built / "keyferry", "run", "-c", keyferry), port
        haproxy = self.configure("haproxy.cfg", port := free_port())
        self.gateways["HAProxy"] = self.start(find("haproxy"), "-db", "-f", haproxy), port
        for name, (process, port) in self.gateways.items():
            self.wait_for(name, process, lambda: is_open(port))
        self.wait_for("Keyferry", self.gateways["Keyferry"][0], self.is_ready)

    def is_ready(self):
        """Whether Keyferry has loaded all identities. HAProxy has before it listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.values["telemetry"], timeout=5)
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
        connection.close()
        return status == 200

    def configure(self, name, port):
        text, values = (HERE / name).read_text(), self.values | {"port": port}
        if name.endswith(".cfg"):
            text = re.sub(r"\{\{(\w+)\}\}", lambda found: str(values[found[1]]), text)
        else:
            text = re.sub(r"\$(\w+)", lambda found: str(values.get(found[1], found[0])), text)
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def start(self, *command, cpu=None):
        cpu = self.cpu if cpu is None else cpu
        log = open(self.folder / f"{pathlib.Path(command[0]).name}.log", "wb")
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=log,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, [cpu]),
        )
        self.processes.append(process)
        return process

    def wait_for(self, name, process, is_up):
        for _ in range(400):
            if process.poll() is not None:
                break
            if is_up():
                return
            time.sleep(0.05)
        logs = "\n".join(log.read_text()[-3000:] for log in self.folder.glob("*.log"))
        sys.exit(f"{name} does not start:\n{logs}")

    def end(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(timeout=30)

    # ------------------------------------------------------------ the proof

    def prove(self):
        with Echo(self.backend) as echo:
            for name, (_, port) in self.gateways.items():
                Proof(self, name, port, echo).run()

    # ------------------------------------------------------------ the figures

    def measure(self):
        nginx = self.configure("nginx.conf", 0)
        [other] = os.sched_getaffinity(0)
        backend = self.start(find("nginx"), "-e", "stderr", "-c", nginx, cpu=other)
        self.wait_for("nginx", backend, lambda: is_open(self.backend))
        self.describe()
        figures = {}  # (workload, gateway): [figures of a round]
        for number in range(self.options.rounds):
            for workload in WORKLOADS:
                names = list(self.gateways)
                for name in names if number % 2 == 0 else reversed(names):
                    figures.setdefault((workload, name), []).append(self.load(workload, name))
            print(f"round {number + 1} of {self.options.rounds} done", file=sys.stderr)
        report(figures)
        print(f"Load average at the end: {load_average()}.")

    def load(self, workload, name):
        """CPU and throughput under as much load as there can be, latency under a moderate one."""
        full = self.load_once(workload, name, 0)
        moderate = self.load_once(workload, name, WORKLOADS[workload][1])
        return {
            "CPU µs/request": cpu_us(full),
            "CPU µs/request, paced": cpu_us(moderate),
            "requests/s": full["requests"] / full["seconds"],
            "p50 µs": moderate["p50_us"],
            "p99 µs": moderate["p99_us"],
            "RSS MB": resident_mb(self.gateways[name][0].pid),
        }

    def load_once(self, workload, name, rate):
        process, port = self.gateways[name]
        options = self.options
        return json.loads(self.tool(
            "load", f"127.0.0.1:{port}", workload, "--folder", str(self.folder),
            "--pid", str(process.pid), "--connections", str(options.connections),
            "--seconds", str(options.seconds), "--rate", str(rate), "--groups", options.groups,
        ))

    def tool(self, *arguments):
        command = [str(self.options.built / "examples/compare"), *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300)
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed")
        return done.stdout

    def describe(self):
        options = self.options
        version = lambda *command: subprocess.run(command, capture_output=True, text=True).stdout
        haproxy = version(find("haproxy"), "-vv")
        library = re.search(r"Running on OpenSSL version : (.*)", haproxy)
        print(f"{version(str(options.built / 'keyferry'), '--version').strip()}; "
              f"{haproxy.splitlines()[0]}; {library[1] if library else 'unknown TLS library'}")
        print(f"{len(self.identities)} identities, {options.connections} connections, "
              f"{options.rounds} rounds of {options.seconds} s, key exchange {options.groups}. Load average at the start: {load_average()}.")


class Proof:
    """One gateway does the job, or the comparison ends."""

    def __init__(self, bench, name, port, echo):
        self.bench, self.name, self.port, self.echo = bench, name, port, echo

    def run(self):
        key_id, client, key = self.bench.identities[7]
        forged = [(header, "forged") for header in FORGED]
        for what, headers, certificate in [
            ("key", [("X-API-Key", key)], None),
            ("bearer key", [("Authorization", f"Bearer {key}")], None),
            ("certificate", [], client),
        ]:
            status, seen = self.call(headers + forged, certificate)
            self.expect(status == 200, f"{what}: 200, not {status}")
            text = json.dumps(seen)
            self.expect("forged" not in text, f"{what}: forged headers are gone: {text}")
            self.expect("kf_live_" not in text, f"{what}: the key is gone: {text}")
            self.identity(what, seen, key_id, client)
        last = key[-1]
        mistyped = key[:-1] + ("0" if last != "0" else "1")
        unknown = self.unknown(key)
        for what, headers, certificate in [
            ("mistyped key", [("X-API-Key", mistyped)], None),
            ("wrong secret", [("X-API-Key", unknown)], None),
            ("nothing", [], None),
            ("certificate of another authority", [], "stranger"),
        ]:
            status, seen = self.call(headers + forged, certificate)
            self.expect(status in (401, 403), f"{what}: refused, not {status}")
            self.expect(seen is None, f"{what}: the backend saw nothing")
        print(f"{self.name} does the job: identity by key and certificate, signed; forged headers "
              "gone; bad credentials refused", file=sys.stderr)

    @staticmethod
    def unknown(key):
        """A key with the id of that one, another secret, and a checksum that fits."""
        body = key[:-7] + ("a" if key[-7] != "a" else "b")
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
        rest, crc = zlib.crc32(body.encode()), ""
        for _ in range(6):
            crc, rest = digits[rest % 62] + crc, rest // 62
        return body + crc

    def identity(self, what, seen, key_id, client):
        value = lambda name: [v for n, v in seen if n.lower() == name]
        self.expect(value("x-key-id") == [key_id], f"{what}: X-Key-Id is {value('x-key-id')}")
        self.expect(value("x-client-id") == [client], f"{what}: the client is {client}")
        [parameters] = value("signature-input")
        [signature] = value("signature")
        parameters = parameters.removeprefix("gw=")
        base = "\n".join([
            '"@method": GET', f'"@authority": {HOST}', '"@path": /v1/orders', '"@query": ?limit=10',
            f'"x-key-id": {key_id}', f'"x-client-id": {client}',
            f'"@signature-params": {parameters}',
        ])
        mac = hmac.new(self.bench.signing, base.encode(), hashlib.sha256).digest()
        expected = f"gw=:{base64.b64encode(mac).decode()}:"
        self.expect(signature == expected, f"{what}: the signature fits: {parameters} {signature}")
        created = int(re.search(r"created=(\d+)", parameters)[1])
        self.expect(abs(created - time.time()) < 5, f"{what}: it was signed now")

    def call(self, headers, certificate):
        context = ssl.create_default_context(cafile=self.bench.folder / "servers-root.pem")
        if certificate:
            file = lambda extension: self.bench.folder / f"{certificate}.{extension}"
            context.load_cert_chain(file("pem"), file("key"))
        self.echo.seen = None
        connection = http.client.HTTPConnection(HOST, self.port)
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        connection.sock = context.wrap_socket(plain, server_hostname=HOST)
        connection.putrequest("GET", "/v1/orders?limit=10", skip_host=True)
        for name, value in [("Host", HOST), *headers]:
            connection.putheader(name, value)
        connection.endheaders()
        status = connection.getresponse().status
        connection.close()
        return status, self.echo.seen

    def expect(self, good, what):
        if not good:
            sys.exit(f"{self.name} does not do the job. Expected of {what}")


class Echo:
    """A backend that remembers the headers of the last request."""

    def __init__(self, port):
        echo = self
        self.seen = None

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                echo.seen = self.headers.items()
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            block_on_close = False

            def handle_error(self, *_):
                """The gateways keep connections, and drop them when they like."""

        self.server = Server(("127.0.0.1", port), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def report(figures):
    for workload, (title, rate) in WORKLOADS.items():
        keyferry, haproxy = figures[workload, "Keyferry"], figures[workload, "HAProxy"]
        print(f"\n### {workload}: {title}; paced at {rate} requests/s\n")
        print("| | Keyferry | HAProxy | ratio | of the rounds |\n|---|---:|---:|---:|---:|")
        for figure in keyferry[0]:
            ours, theirs = ([round[figure] for round in rounds] for rounds in (keyferry, haproxy))
            ratios = [a / b for a, b in zip(ours, theirs)]
            print(f"| {figure} | {statistics.median(ours):.0f} | {statistics.median(theirs):.0f} | "
                  f"{statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} |")
    print()


def cpu_us(measured):
    return measured["cpu_ticks"] / os.sysconf("SC_CLK_TCK") * 1e6 / measured["requests"]


def resident_mb(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


def load_average():
    return pathlib.Path("/proc/loadavg").read_text().split()[0]


def is_open(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


if __name__ == "__main__":
    main()
