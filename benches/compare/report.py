#!/usr/bin/env python3
"""Tables from what compare.py measured: `report.py FILE` prints them again, for docs/PERFORMANCE.md."""

import json
import statistics
import sys

from workloads import HIGHER, WORKLOADS


def report(measured):
    about = measured["about"]
    print("; ".join(f"{name}: {version}" for name, version in about["versions"].items()))
    print(f"{about['identities']} identities, {about['connections']} connections, {about['rounds']} rounds of "
          f"{about['seconds']} s, key exchange {about['groups']}; load average {about['load average'][0]} at the "
          f"start, {about['load average'][1]} at the end.")
    ours, peers = about["keyferry"], about["peers"]
    for name, figures in measured["workloads"].items():
        workload = WORKLOADS[name]
        paced = f"; paced at {workload.rate} requests/s" if "p50 µs" in figures else ""
        print(f"\n### {name}: {workload.title}{paced}\n")
        print(table(figures, ours, peers))


def table(figures, ours, peers):
    """A row a figure, a column a gateway that was measured, then the ratios of Keyferry to others."""
    peers = [name for name in peers if any(name in measured for measured in figures.values())]
    first, *others = ours
    versus = [*others, *(["HAProxy"] if "HAProxy" in peers else []), *(["best peer"] if len(peers) > 1 else [])]
    head = ["", *ours, *peers, *(f"{first} / {other}" for other in versus)]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for figure, measured in figures.items():
        best = best_of(figure, {name: measured[name] for name in peers if name in measured})
        cells = [statistics.median(measured[name]) if name in measured else None for name in (*ours, *peers)]
        row = [figure, *("–" if cell is None else show(cell) for cell in cells)]
        for other in versus:
            name = best if other == "best peer" else other
            row.append(ratio(measured[first], measured.get(name)) + (f" {name}" if other == "best peer" else ""))
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def best_of(figure, measured):
    median = lambda name: statistics.median(measured[name])
    return (max if figure in HIGHER else min)(measured, key=median, default=None)


def ratio(ours, theirs):
    """The median of the rounds' own ratios, and the range in which they lie."""
    if theirs is None:
        return "–"
    # In a short round a gateway may have spent less than the clock counts.
    ratios = [a / b for a, b in zip(ours, theirs) if b]
    if not ratios:
        return "–"
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def show(value):
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        report(json.load(file))
