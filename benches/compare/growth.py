#!/usr/bin/env python3
"""How Keyferry's costs grow: `make bench-growth`. With identities, connections, routes and the size of headers.

CPU time a request is measured as by compare.py, on one CPU, under full load by key; the time to start is that from the
start of the process until it is ready. draw.py makes a picture of the figures.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

import machine
from gateways import BUILT, Backend, Keyferry, Shared
from workloads import Meter, Workload, clients, cpu_us

# What else there is while one thing grows.
IDENTITIES, CONNECTIONS = 10_000, 16
CURVES = {
    "identities": (10, 1_000, 10_000, 100_000, 1_000_000),
    "connections": (1, 16, 100, 1_000, 10_000),
    "routes": (1, 10, 100, 1_000),
    "header KiB": (0.5, 1, 4, 8, 16, 24),
}


def main():
    options = arguments()
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        sys.exit("two CPUs are needed: one for the gateway, one for the load")
    os.sched_setaffinity(0, cpus[1:2])
    machine.many_files()
    before = machine.load_average()
    curves = {curve: {} for curve in options.only}
    with tempfile.TemporaryDirectory(prefix="keyferry-growth-") as folder:
        growth = Growth(pathlib.Path(folder), cpus[:1], options)
        for number in range(options.rounds):
            for curve in options.only:
                for value in growth.values(curve):
                    for figure, measured in growth.measure(curve, value).items():
                        curves[curve].setdefault(figure, {}).setdefault(str(value), []).append(measured)
            print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
    about = {
        "when": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "version": machine.output(options.keyferry, "--version").strip(),
        "rounds": options.rounds, "seconds": options.seconds,
        "load average": [before, machine.load_average()],
    }
    options.json.write_text(json.dumps({"about": about, "curves": curves}, indent=1, ensure_ascii=False) + "\n")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each measurement")
    parser.add_argument("--groups", default="X25519", help="for the key exchange")
    parser.add_argument("--most", type=int, default=1_000_000, metavar="IDENTITIES", help="measure no more identities")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(CURVES), metavar="CURVE,...",
                        help="of " + ", ".join(CURVES))
    parser.add_argument("--keyferry", type=pathlib.Path, default=BUILT / "keyferry", help="the program")
    parser.add_argument("--tool", type=pathlib.Path, default=BUILT / "examples/compare", help="what makes the load")
    parser.add_argument("--json", type=pathlib.Path, required=True, metavar="FILE", help="where the figures go")
    options = parser.parse_args()
    if missing := [name for name in options.only if name not in CURVES]:
        parser.error(f"unknown curve {', '.join(missing)}")
    options.connections = CONNECTIONS
    return options


class Growth:
    def __init__(self, folder, cpus, options):
        self.folder, self.cpus, self.options = folder, cpus, options
        self.seeded = {}

    def values(self, curve):
        return [value for value in CURVES[curve] if curve != "identities" or value <= self.options.most]

    def measure(self, curve, value):
        """A gateway that begins anew, for each point of a curve."""
        shared, meter = self.seed(value if curve == "identities" else IDENTITIES)
        gateway = Keyferry("Keyferry", self.options.keyferry, shared)
        gateway.routes = value - 1 if curve == "routes" else 0
        meter.options = argparse.Namespace(**vars(self.options))
        how = {}
        if curve == "connections":
            # Some clients, each with its share of the connections, which it uses in turn.
            meter.options.connections = min(value, CONNECTIONS)
            how = {"each": max(value // CONNECTIONS, 1)}
        elif curve == "header KiB":
            how = {"headers": int(value * 1024)}
        with Backend(shared):
            try:
                gateway.start(self.cpus)
                figures = {"seconds to start": gateway.took}
                figures["CPU µs/request"] = cpu_us(meter.load(Workload(curve, clients(**how)), gateway, 0))
                figures["memory MB"] = machine.memory(gateway.pids) / 2**20
            finally:
                gateway.end()
        return figures

    def seed(self, identities):
        if identities not in self.seeded:
            folder = self.folder / str(identities)
            folder.mkdir()
            meter = Meter(self.options.tool, folder, self.options)
            meter.seed(identities)
            self.seeded[identities] = Shared(folder), meter
        return self.seeded[identities]


if __name__ == "__main__":
    main()
