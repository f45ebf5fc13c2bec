#!/usr/bin/env python3
"""Counts the instructions of what every request does, and compares them with those of baseline.json:
`make bench-instructions`. It ends with 1 when one has become dearer by more than 5 %."""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "compare"))

import callgrind  # noqa: E402
import machine  # noqa: E402
from exchanges import EXCHANGES, Counted  # noqa: E402
from gateways import BUILT, Backend, Shared  # noqa: E402
from workloads import Meter  # noqa: E402

BASELINE = HERE / "baseline.json"
# How much dearer is a regression.
TOLERATED = 1.05
# The function of benches/core/meter.rs in which a case is called.
COUNTED = "core::meter::counted"


def main():
    options = arguments()
    measured = {}
    with tempfile.TemporaryDirectory(prefix="keyferry-instructions-") as folder:
        for part in options.only:
            measured |= PARTS[part](options, pathlib.Path(folder))
    measured = {"versions": versions(options), "instructions": measured}
    if options.json:
        write(options.json, measured)
    if options.accept:
        write(BASELINE, measured)
    sys.exit(compare(json.loads(BASELINE.read_text()), measured))


def arguments():
    parser = argparse.ArgumentParser(description=" ".join(__doc__.split()))
    parser.add_argument("--only", choices=PARTS, action="append", help="count only this part")
    parser.add_argument("--keyferry", type=pathlib.Path, default=BUILT / "keyferry", help="the program")
    parser.add_argument("--tool", type=pathlib.Path, default=BUILT / "examples/compare", help="what makes the identities")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--accept", action="store_true", help="make the figures the new baseline")
    options = parser.parse_args()
    if options.accept and options.only:
        parser.error("a baseline has all parts")
    options.only = options.only or list(PARTS)
    return options


def core(_, folder):
    """What the cases of benches/core cost a call: callgrind counts within one function, and dumps after it."""
    out = folder / "core"
    runner = callgrind.command(out, f"--toggle-collect={COUNTED}", f"--dump-after={COUNTED}")
    # Whatever cargo has built and runs, is run by this.
    config = f"target.'cfg(all())'.runner={json.dumps(runner)}"
    command = ("cargo", "bench", "--locked", "--bench", "core", "--config", config, "--", "--instructions")
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=HERE)
    if done.returncode:
        raise SystemExit("the benchmark of the core failed")
    cases = [line.split() for line in done.stdout.splitlines() if line]
    return {
        name: round(callgrind.total(callgrind.dump(out, number)) / int(calls))
        for number, (name, calls) in enumerate(cases, 1)
    }


def requests(options, folder):
    """What whole requests cost the program."""
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cpus[-1:])
    Meter(options.tool, folder, options).seed()
    shared = Shared(folder)
    gateway = Counted("Keyferry", options.keyferry, shared)
    with Backend(shared):
        try:
            gateway.start(cpus[:1])
            return {name: round(gateway.instructions(exchange)) for name, exchange in EXCHANGES.items()}
        finally:
            gateway.end()


PARTS = {"core": core, "requests": requests}


def versions(options):
    """What the figures depend on beside the code. The libraries choose code by what the processor has."""
    has_avx2 = " avx2 " in pathlib.Path("/proc/cpuinfo").read_text()
    return {
        "keyferry": machine.output(options.keyferry, "--version").strip(),
        "rustc": machine.output("rustc", "--version").strip(),
        "valgrind": machine.output("valgrind", "--version").strip(),
        "libc": " ".join(platform.libc_ver()),
        "processor": platform.machine() + (" with AVX2" if has_avx2 else ""),
    }


def compare(baseline, measured):
    """Prints both; 1 when anything has become too dear."""
    for name, version in measured["versions"].items():
        before = baseline["versions"].get(name)
        print(f"{name}: {version}" + ("" if version == before else f"; the baseline: {before}"))
    before, now = baseline["instructions"], measured["instructions"]
    print(f"\n{'instructions':<30}{'baseline':>10}{'now':>10}{'ratio':>8}")
    dear = 0
    for name, new in now.items():
        old = before.get(name)
        if old is None:
            print(f"{name:<30}{'–':>10}{new:>10,}")
            continue
        ratio = new / old
        verdict = "  too dear" if ratio > TOLERATED else "  cheaper: accept it" if ratio < 1 / TOLERATED else ""
        print(f"{name:<30}{old:>10,}{new:>10,}{ratio:>8.3f}{verdict}")
        dear |= ratio > TOLERATED
    return int(dear)


def write(file, measured):
    file.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
