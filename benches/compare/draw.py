#!/usr/bin/env python3
"""Draws what growth.py measured: `draw.py FIGURES PICTURE`. Needs matplotlib; `make bench-growth` brings it."""

import json
import statistics
import sys

import matplotlib

matplotlib.use("svg")
# The same figures make the same file.
matplotlib.rcParams.update({"svg.hashsalt": "keyferry", "svg.fonttype": "none", "font.size": 9})
import matplotlib.pyplot as pyplot  # noqa: E402

CPU, MEMORY, START = "CPU µs/request", "memory MB", "seconds to start"
PANELS = (
    ("identities", CPU), ("connections", CPU), ("routes", CPU),
    ("header KiB", CPU), ("identities", MEMORY), ("identities", START),
)


def main():
    figures, picture = sys.argv[1:]
    with open(figures) as file:
        measured = json.load(file)
    curves = measured["curves"]
    drawing, panels = pyplot.subplots(2, 3, figsize=(10, 5.6), layout="constrained")
    for panel, (curve, figure) in zip(panels.flat, PANELS):
        if curve in curves:
            draw(panel, curve, figure, curves[curve][figure])
    about = measured["about"]
    drawing.suptitle(f"{about['version']}, {about['when'][:10]}: medians of {about['rounds']} rounds, and their ranges")
    drawing.savefig(picture, metadata={"Date": None})


def draw(panel, curve, figure, points):
    at = [float(value) for value in points]
    panel.plot(at, [statistics.median(values) for values in points.values()], marker="o", color="#1f5f99")
    panel.fill_between(at, *zip(*((min(values), max(values)) for values in points.values())), color="#1f5f99", alpha=0.2)
    if max(at) > 100:
        panel.set_xscale("log")
    panel.set_ylim(0, 1.15 * max(max(values) for values in points.values()))
    panel.set(xlabel=curve, ylabel=figure)
    panel.minorticks_off()
    panel.grid(alpha=0.3)


if __name__ == "__main__":
    main()
