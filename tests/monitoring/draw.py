#!/usr/bin/env python3
"""Draws the dashboards from what Prometheus answered to their queries: `make pictures`.

A rendering of real results, not Grafana: panels stand where the dashboards have them, with their
titles, units, thresholds, colours and legends. Reads target/monitoring/answers.json and
grafana/*.json, writes docs/images/dashboard-*.png.
"""

import json
import math
import re
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.dates import DateFormatter
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

ROOT = Path(__file__).parents[2]
PAGE, PANEL, EDGE, TEXT, DIM = "#111217", "#181b1f", "#2c3235", "#d8d9da", "#8e9297"
NAMED = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2"}
LINES = ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#37872d", "#fa6400", "#8ab8ff", "#c0d8ff", "#e0b400", "#705da0"]
# Of the page, in pixels at 100 dots an inch: one column and one row of Grafana's grid.
COLUMN, ROW, HEAD = 64, 34, 60
ROWS_OF_NAMES = 3


def color(name):
    return NAMED.get(name, name)


def at(value, steps):
    """The colour of a value, by the thresholds."""
    passed = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return color(passed[-1])


def seconds(value):
    for size, unit in ((86400 * 365, "y"), (86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1000:.3g} ms"


def shown(value, unit):
    if value is None or math.isnan(value):
        return "–"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return seconds(value)
    if unit == "dateTimeFromNow":
        return seconds(time.time() - value / 1000) + " ago"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    short = f"{value:.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.3g}"
    return short + {"reqps": " req/s", "ops": " /s"}.get(unit, "")


def name_of(target, labels):
    if target["legendFormat"] == "__auto":
        return ", ".join(labels.values()) or "value"
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), target["legendFormat"]).strip() or "(none)"


def series_of(panel, answers, uid):
    for target in panel["targets"]:
        found = answers.get(f"{uid}/{panel['id']}/{target['refId']}", [])
        for one in found:
            points = one.get("values") or [one["value"]]
            points = [(when, float(value)) for when, value in points]
            labels = {label: value for label, value in one["metric"].items() if label != "__name__"}
            yield name_of(target, labels), labels, points


def draw_stat(axes, panel, lines):
    defaults = panel["fieldConfig"]["defaults"]
    axes.axis("off")
    points = [point for _, _, line in lines for point in line if not math.isnan(point[1])]
    value = points[-1][1] if points else None
    text, fill = shown(value, defaults["unit"]), TEXT
    if value is not None:
        fill = at(value, defaults["thresholds"]["steps"])
        for mapping in defaults.get("mappings", []):
            found = mapping["options"].get(f"{value:.0f}")
            text = found["text"] if found else text
        # What it was like, behind the number.
        axes.fill_between(range(len(points)), [one for _, one in points], color=fill, alpha=0.15, linewidth=0)
        top = max(one for _, one in points) or 1
        axes.set_ylim(0, top * 2.2)
    axes.text(0.5, 0.52, text, transform=axes.transAxes, ha="center", va="center", fontsize=22, color=fill, weight="bold")


def draw_graph(axes, panel, lines, span):
    defaults, overrides = panel["fieldConfig"]["defaults"], panel["fieldConfig"]["overrides"]
    fixed = {o["matcher"]["options"]: color(o["properties"][0]["value"]["fixedColor"]) for o in overrides}
    stacked = defaults["custom"]["stacking"]["mode"] != "none"
    grid = list(range(span[0], span[1] + 1))
    below = [0.0] * len(grid)
    lines = sorted(lines, key=lambda line: line[0])
    for number, (name, _, points) in enumerate(lines):
        ink = fixed.get(name, LINES[number % len(LINES)])
        known = {round(when): value for when, value in points if not math.isnan(value)}
        when = [second / 86400 for second in grid]
        if stacked:
            top = [low + known.get(second, 0.0) for low, second in zip(below, grid)]
            axes.fill_between(when, below, top, color=ink, alpha=0.6, linewidth=0, label=name)
            below = top
        else:
            axes.plot(when, [known.get(second, math.nan) for second in grid], color=ink, linewidth=1.1, label=name)
    steps = defaults["thresholds"]["steps"]
    if defaults["custom"]["thresholdsStyle"]["mode"] != "off":
        for step in steps[1:]:
            axes.axhline(step["value"], color=color(step["color"]), linestyle="--", linewidth=0.8)
    low, high = axes.get_ylim()
    axes.set_ylim(defaults.get("min", low), high * 1.05 if lines else 1)
    axes.set_xlim(span[0] / 86400, span[1] / 86400)
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=defaults["unit"] == "none" and high >= 3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, defaults["unit"])))
    axes.tick_params(colors=DIM, labelsize=7, length=0)
    axes.grid(color=EDGE, linewidth=0.5)
    for side in axes.spines.values():
        side.set_visible(False)
    handles, names = axes.get_legend_handles_labels()
    columns = 2 if max(map(len, names), default=0) > 20 or panel["gridPos"]["w"] < 8 else 3
    most = ROWS_OF_NAMES * columns
    if len(names) > most:
        handles, names = handles[:most], [*names[: most - 1], f"… {len(names) - most + 1} more"]
    if names:
        axes.legend(handles, names, loc="upper left", bbox_to_anchor=(-0.02, -0.1), ncols=columns, fontsize=6.5, frameon=False, labelcolor=TEXT, handlelength=1, columnspacing=1, borderaxespad=0)
    else:
        axes.text(0.5, 0.5, "No data", transform=axes.transAxes, ha="center", color=DIM)


def draw_table(axes, panel, lines):
    axes.axis("off")
    defaults = panel["fieldConfig"]["defaults"]
    columns = panel["transformations"][1]["options"]["renameByName"]
    rows = sorted(lines, key=lambda line: line[2][-1][1])
    for across, (label, heading) in enumerate(columns.items()):
        x = across / len(columns)
        axes.text(x, 1.0, heading, transform=axes.transAxes, fontsize=8, color=NAMED["blue"], va="top")
        for down, (_, metric, points) in enumerate(rows):
            value = points[-1][1]
            text = shown(value, defaults["unit"]) if label == "Value" else metric.get(label, "")
            ink = at(value, defaults["thresholds"]["steps"]) if label == "Value" else TEXT
            axes.text(x, 0.86 - down * 0.13, text, transform=axes.transAxes, fontsize=8, color=ink, va="top")


def draw(dashboard, told, target):
    panels = dashboard["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = 24 * COLUMN, rows * ROW + HEAD
    figure = plt.figure(figsize=(width / 100, height / 100), facecolor=PAGE)
    figure.text(10 / width, 1 - 20 / height, dashboard["title"], color=TEXT, fontsize=13, weight="bold", va="center")
    note = "A rendering of the results that a real Prometheus gave to this dashboard's queries; not a screenshot of Grafana."
    figure.text(10 / width, 1 - 44 / height, note, color=DIM, fontsize=8.5, va="center")
    span = (told["begun"] + 3, told["ended"])
    for panel in panels:
        place = panel["gridPos"]
        left, top = place["x"] * COLUMN, HEAD + place["y"] * ROW
        wide, tall = place["w"] * COLUMN, place["h"] * ROW

        def across(x, y, w, h):
            return [x / width, 1 - (y + h) / height, w / width, h / height]

        if panel["type"] == "row":
            figure.text((left + 10) / width, 1 - (top + tall / 2) / height, "▾ " + panel["title"], color=TEXT, fontsize=10, va="center")
            continue
        x, y, w, h = across(left + 3, top + 3, wide - 6, tall - 6)
        figure.add_artist(Rectangle((x, y), w, h, facecolor=PANEL, edgecolor=EDGE, linewidth=0.6, zorder=-1))
        figure.text((left + 10) / width, 1 - (top + 15) / height, panel["title"], color=TEXT, fontsize=8.5, va="center")
        lines = list(series_of(panel, told["answers"], dashboard["uid"]))
        if panel["type"] == "stat":
            draw_stat(figure.add_axes(across(left + 8, top + 28, wide - 16, tall - 36)), panel, lines)
        elif panel["type"] == "table":
            draw_table(figure.add_axes(across(left + 12, top + 32, wide - 24, tall - 40)), panel, lines)
        else:
            axes = figure.add_axes(across(left + 62, top + 32, wide - 74, tall - 100), facecolor=PANEL)
            draw_graph(axes, panel, lines, span)
    figure.savefig(target, dpi=100, facecolor=PAGE)
    plt.close(figure)


def main():
    told = json.loads((ROOT / "target/monitoring/answers.json").read_text())
    folder = ROOT / "docs/images" if len(sys.argv) < 2 else Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    for file in sorted((ROOT / "grafana").glob("*.json")):
        dashboard = json.loads(file.read_text())
        draw(dashboard, told, folder / f"{dashboard['uid'].replace('keyferry', 'dashboard')}.png")


main()
