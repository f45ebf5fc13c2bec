"""The workloads, and how the figures of one are measured."""

import json
import subprocess
from dataclasses import dataclass

import machine


@dataclass(frozen=True)
class Workload:
    title: str
    # What the tool is told of the clients.
    clients: tuple = ()
    # Requests a second when latency is measured.
    rate: int = 1000
    workers: int = 1


WORKLOADS = {
    "key": Workload("key, kept connection"),
    "certificate": Workload("certificate, kept connection", ("--credential", "p256")),
    "handshake": Workload(
        "P-256 certificate, full TLS 1.3 handshake for each request",
        ("--credential", "p256", "--connect", "full"), rate=150,
    ),
}
# Which figures are the better the higher they are.
HIGHER = ("requests/s",)


class Meter:
    """Measures one gateway under one workload."""

    def __init__(self, tool, folder, options):
        self.tool, self.folder, self.options = tool, folder, options

    def measure(self, workload, gateway):
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

    def load(self, workload, gateway, rate):
        options = self.options
        pids = [part for pid in gateway.pids for part in ("--pid", pid)]
        return json.loads(self.run(
            "load", *self.clients(workload, gateway), *pids, "--connections", options.connections,
            "--seconds", options.seconds, "--rate", rate,
        ))

    def clients(self, workload, gateway):
        return (f"127.0.0.1:{gateway.port}", *workload.clients, "--folder", self.folder, "--groups", self.options.groups)

    def run(self, *arguments):
        command = [str(part) for part in (self.tool, *arguments)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed")
        return done.stdout


def cpu_us(measured):
    return measured["cpu_ticks"] / machine.TICKS * 1e6 / measured["requests"]
