#!/usr/bin/env python3
"""Compares Keyferry with other gateways doing the same job: `make bench-compare`.

First it proves that each of them does the job. Then it runs all in turns under the same load and
prints what a request costs the gateway's processes. docs/PERFORMANCE.md says what the figures mean.

Only loopback is used. The gateways are pinned to one CPU, the load and the backend to another.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

import machine
from gateways import BUILT, PEERS, Backend, Keyferry, Shared, peers
from proof import prove, unknown
from report import report
from workloads import WORKLOADS, Meter


def main():
    options = arguments()
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        sys.exit("two CPUs are needed: one for the gateway, one for the load")
    machine.many_files()
    with tempfile.TemporaryDirectory(prefix="keyferry-compare-") as folder:
        bench = Bench(pathlib.Path(folder), cpus[:2], options)
        bench.prove()
        if not options.prove:
            measured = bench.measure()
            if options.json:
                options.json.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n")
            report(measured)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    listed = lambda text: [part for part in text.split(",") if part]
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--idle", type=int, default=2000, help="how many idle connections")
    parser.add_argument("--groups", default="X25519", help="for the key exchange")
    parser.add_argument("--only", type=listed, default=list(WORKLOADS), metavar="WORKLOAD,...",
                        help="of " + ", ".join(WORKLOADS))
    parser.add_argument("--peers", type=listed, default=list(PEERS), metavar="PEER,...",
                        help="of " + ", ".join(PEERS) + '; "" for none')
    parser.add_argument("--keyferry", action="append", metavar="[NAME=]PATH",
                        help="a build of Keyferry; may be given several times, the first is compared with all others")
    parser.add_argument("--tool", type=pathlib.Path, default=BUILT / "examples/compare", help="what makes the load")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all figures there as well")
    parser.add_argument("--prove", action="store_true", help="only prove that all do the job")
    options = parser.parse_args()
    if not machine.find("h2load"):
        parser.error("h2load is missing; bring it with: apt-get install nghttp2-client")
    if missing := [name for name in options.only if name not in WORKLOADS]:
        parser.error(f"unknown workload {', '.join(missing)}")
    builds = [build.rpartition("=") for build in options.keyferry or [str(BUILT / "keyferry")]]
    options.keyferry = {name or "Keyferry": pathlib.Path(path) for name, _, path in builds}
    if len(options.keyferry) < len(builds):
        parser.error("builds of Keyferry need different names")
    for program in (*options.keyferry.values(), options.tool):
        if not program.exists():
            parser.error(f"there is no {program}")
    return options


class Bench:
    def __init__(self, folder, cpus, options):
        self.folder, self.cpus, self.options = folder, cpus, options
        self.meter = Meter(options.tool, folder, options)
        self.meter.seed()
        self.shared = Shared(folder)
        wrong = "".join(f"{unknown(key)}\n" for _, _, key in self.shared.identities)
        # What the load of wrong keys takes its keys from.
        (folder / "unknown").write_text(wrong)
        self.ours = [Keyferry(name, path, self.shared) for name, path in options.keyferry.items()]
        self.peers = peers(options.peers, self.shared)
        self.gateways = [*self.ours, *self.peers]

    def running(self, workers):
        return Running(self.gateways, self.cpus[:workers])

    def prove(self):
        with self.running(1):
            prove(self.gateways, self.shared)

    def measure(self):
        names = lambda gateways: [gateway.name for gateway in gateways]
        measured = {name: {} for name in self.options.only}
        before = machine.load_average()
        for workers in sorted({WORKLOADS[name].workers for name in self.options.only}):
            # With one worker the load has a CPU of its own.
            os.sched_setaffinity(0, self.cpus[1:] if workers == 1 else self.cpus)
            with Backend(self.shared), self.running(workers):
                self.rounds([name for name in self.options.only if WORKLOADS[name].workers == workers], measured)
        options = self.options
        about = {
            "when": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
            "versions": {gateway.name: gateway.version() for gateway in self.gateways},
            "keyferry": names(self.ours), "peers": names(self.peers),
            "identities": len(self.shared.identities), "connections": options.connections,
            "rounds": options.rounds, "seconds": options.seconds, "groups": options.groups,
            "load average": [before, machine.load_average()],
        }
        return {"about": about, "workloads": measured}

    def rounds(self, workloads, measured):
        for number in range(self.options.rounds):
            # Who is first changes with every round.
            first = number % len(self.gateways)
            for name in workloads:
                alone = WORKLOADS[name].ours_alone
                for gateway in self.gateways[first:] + self.gateways[:first]:
                    if alone and gateway not in self.ours:
                        continue
                    for figure, value in self.meter.measure(WORKLOADS[name], gateway).items():
                        measured[name].setdefault(figure, {}).setdefault(gateway.name, []).append(value)
            print(f"round {number + 1} of {self.options.rounds} done", file=sys.stderr)


class Running:
    """All gateways, while they run."""

    def __init__(self, gateways, cpus):
        self.gateways, self.cpus = gateways, cpus

    def __enter__(self):
        try:
            for gateway in self.gateways:
                gateway.start(self.cpus)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        for gateway in self.gateways:
            gateway.end()


if __name__ == "__main__":
    main()
