"""The workloads, and how the figures of one are measured."""

import json
import re
import subprocess
import time
from dataclasses import dataclass

import machine

# How long memory is left to settle, in seconds.
SETTLE = 1.0


@dataclass(frozen=True)
class Workload:
    title: str
    # What the tool is told of the clients.
    clients: tuple = ()
    # Requests a second when latency is measured.
    rate: int = 1000
    workers: int = 1
    # By which method of Meter it is measured.
    how: str = "under_load"
    # Whether only Keyferry is measured, since the others are not configured for it.
    ours_alone: bool = False


def clients(**options):
    return tuple(part for name, value in options.items() for part in (f"--{name}", value))


P256, RSA = clients(credential="p256"), clients(credential="rsa")
FULL, RESUME = clients(connect="full"), clients(connect="resume")
WORKLOADS = {
    "key": Workload("key, kept connection", rate=5000),
    "certificate": Workload("certificate, kept connection", P256, rate=5000),
    "open": Workload("the same request on a route that asks for nobody", clients(path="/open"), 5000, ours_alone=True),
    "handshake": Workload("P-256 certificate, full TLS 1.3 handshake for each request", P256 + FULL, 150),
    "rsa-handshake": Workload("RSA-2048 certificate, full TLS 1.3 handshake for each request", RSA + FULL, 150),
    "resumed": Workload("P-256 certificate, resumed TLS 1.3 handshake for each request", P256 + RESUME, 300),
    "download": Workload("key, kept connection, answers of 16 KiB", clients(path="/v1/export")),
    "upload": Workload("key, kept connection, requests of 16 KiB", clients(path="/v1/import", upload=16384)),
    "http2": Workload("key, HTTP/2, 8 connections of 8 streams each", how="over_http2"),
    "refused": Workload("wrong keys, kept connection, answered 401", clients(keys="unknown", status=401)),
    "idle": Workload("key, idle connections", how="idle"),
    "idle-certificate": Workload("certificate, idle connections", P256, how="idle"),
    "key-2": Workload("key, kept connection, 2 workers", workers=2),
    "certificate-2": Workload("certificate, kept connection, 2 workers", P256, workers=2),
    "handshake-2": Workload("P-256 certificate, full TLS 1.3 handshake for each request, 2 workers", P256 + FULL, workers=2),
}
# Which figures are the better the higher they are.
HIGHER = ("requests/s",)


class Meter:
    """Measures one gateway under one workload."""

    def __init__(self, tool, folder, options):
        self.tool, self.folder, self.options = tool, folder, options

    def measure(self, workload, gateway):
        return getattr(self, workload.how)(workload, gateway)

    def under_load(self, workload, gateway):
        """CPU and throughput under as much load as there can be, latency under a moderate one."""
        full = self.load(workload, gateway, 0)
        figures = {"CPU µs/request": cpu_us(full)}
        if workload.workers > 1:
            # Load and gateway share their CPUs, which leaves nothing else to be said.
            return figures
        moderate = self.load(workload, gateway, workload.rate)
        return figures | {
            "CPU µs/request, paced": cpu_us(moderate),
            "requests/s": full["requests"] / full["seconds"],
            "p50 µs": moderate["p50_us"],
            "p99 µs": moderate["p99_us"],
            "memory MB": machine.memory(gateway.pids) / 2**20,
        }

    def over_http2(self, workload, gateway):
        key = (self.folder / "identities").read_text().split()[2]
        command = (
            machine.find("h2load"), "--clients=8", "--max-concurrent-streams=8", "--threads=1",
            f"--connect-to=127.0.0.1:{gateway.port}", "--tls13-ciphers=TLS_AES_128_GCM_SHA256",
            f"--groups={self.options.groups}", f"--header=x-api-key: {key}",
        )
        url = "https://api.example.com/v1/orders?limit=10"
        machine.output(*command, "--duration=300ms", url)
        before = machine.cpu_seconds(gateway.pids)
        text = machine.output(*command, f"--duration={self.options.seconds * 1000:.0f}ms", url)
        cpu = machine.cpu_seconds(gateway.pids) - before
        good, *bad = (int(count) for count in re.search(
            r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text).groups())
        if not good or any(bad):
            raise SystemExit(f"{gateway.name} does not answer over HTTP/2:\n{text}")
        return {"CPU µs/request": cpu * 1e6 / good, "requests/s": good / self.options.seconds}

    def idle(self, workload, gateway):
        """What memory grows by when connections are opened at a gateway that has just begun."""
        gateway.restart()
        self.run(*self.load_command(workload, gateway, 0, seconds=0.2))
        time.sleep(SETTLE)
        before, number = machine.memory(gateway.pids), self.options.idle
        command = self.command("hold", workload, gateway, "--connections", number)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            if not holder.stdout.readline():
                raise SystemExit(f"{' '.join(command)} failed")
            time.sleep(SETTLE)
            after, there = machine.memory(gateway.pids), machine.established(gateway.port)
        if there < number:
            raise SystemExit(f"{gateway.name} kept only {there} of {number} connections")
        # The other workloads shall not find what is left of these connections.
        gateway.restart()
        return {"KiB/connection": (after - before) / number / 1024, "memory MB before": before / 2**20}

    def load(self, workload, gateway, rate):
        return json.loads(self.run(*self.load_command(workload, gateway, rate, self.options.seconds)))

    def load_command(self, workload, gateway, rate, seconds):
        pids = [part for pid in gateway.pids for part in ("--pid", pid)]
        return self.command("load", workload, gateway, *pids, "--connections", self.options.connections,
                            "--seconds", seconds, "--rate", rate)

    def command(self, what, workload, gateway, *more):
        kind = (f"127.0.0.1:{gateway.port}", *workload.clients, "--folder", self.folder, "--groups", self.options.groups)
        return [str(part) for part in (self.tool, what, *kind, *more)]

    def seed(self, identities=10_000):
        self.run(str(self.tool), "seed", str(self.folder), "--identities", str(identities))

    def run(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=1200)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed")
        return done.stdout


def cpu_us(measured):
    return measured["cpu_ticks"] / machine.TICKS * 1e6 / measured["requests"]
