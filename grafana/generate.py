#!/usr/bin/env python3
"""Writes the dashboards from panels/*.py: `make dashboards`. A test holds that they are current.

A panel is one line of Python: what it asks, in which unit, from where on it is bad, and what it tells.
Everything that is the same for all of them, and all of Grafana's JSON, is here.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
# Of every query; "$S" stands for it. All of a variable also means that there is no such label.
SELECTOR = 'namespace=~"$namespace",job=~"$job"'
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
DASHBOARDS = {"gateway": "Gateway", "migration": "Migration", "store": "Store and revocation"}
GREEN, YELLOW, RED, BLUE, GREY = "green", "orange", "red", "blue", "#808080"


def requests(by="", more=""):
    """Requests a second of the chosen routes, `by` these labels."""
    rate = 'rate(keyferry_requests_total{$S,route=~"$route"' + more + "}[$__rate_interval])"
    return f"sum by ({by}) ({rate})" if by else f"sum({rate})"


def share(part, whole="", by=""):
    """No value where there is nothing to have a share of."""
    return f"{requests(by, part)} / ({requests(by, whole)} > 0)"


def target(expression, legend="", instant=False, letter="A"):
    asked = {
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": expression.replace("$S", SELECTOR),
        "legendFormat": legend or "__auto",
        "range": not instant,
        "refId": letter,
    }
    return asked | ({"instant": True} if instant else {})


def thresholds(limits):
    """`[(None, GREEN), (0.02, RED)]`: from each value on, that colour."""
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for value, color in limits]}


def panel(kind, title, description, targets, unit, limits, width, height):
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": targets,
        "fieldConfig": {
            "defaults": {"unit": unit, "thresholds": thresholds(limits or [(None, GREEN)])},
            "overrides": [],
        },
    }


def stat(title, description, expression, unit, limits=None, words=None, width=4):
    """One number, as it is now: of a range, the last there was would stand when nobody is left to tell it.
    `words` say what values mean: `{0: ("down", RED)}`."""
    made = panel("stat", title, description, [target(expression, instant=True)], unit, limits, width, 4)
    defaults = made["fieldConfig"]["defaults"]
    if words:
        options = {str(value): {"text": text, "color": color} for value, (text, color) in words.items()}
        defaults["mappings"] = [{"type": "value", "options": options}]
    defaults["color"] = {"mode": "thresholds"}
    made["options"] = {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "value",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return made


def graph(title, description, unit, lines, stack=False, limits=None, colors=None, width=8, height=8, low=0):
    """Lines over time: `lines` are `{legend: query}`; `colors` are by the names of lines."""
    letters = "ABCDEFGH"
    targets = [target(query, legend, letter=letters[at]) for at, (legend, query) in enumerate(lines.items())]
    made = panel("timeseries", title, description, targets, unit, limits, width, height)
    defaults = made["fieldConfig"]["defaults"]
    if low is not None:
        defaults["min"] = low
    defaults["color"] = {"mode": "palette-classic"}
    defaults["custom"] = {
        "drawStyle": "line",
        "fillOpacity": 60 if stack else 8,
        "lineWidth": 1,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": stack if isinstance(stack, str) else "normal" if stack else "none"},
        "thresholdsStyle": {"mode": "dashed" if limits else "off"},
    }
    for name, color in (colors or {}).items():
        made["fieldConfig"]["overrides"].append({
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
        })
    made["options"] = {
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return made


def table(title, description, expression, unit, columns, limits=None, width=12, height=8):
    """One row a series, as it is now: `columns` are `{label: heading}`, in order; "Value" is the value."""
    asked = target(expression, instant=True) | {"format": "table"}
    made = panel("table", title, description, [asked], unit, limits, width, height)
    order = {name: at for at, name in enumerate(columns)}
    made["transformations"] = [
        {"id": "filterFieldsByName", "options": {"include": {"names": list(columns)}}},
        {"id": "organize", "options": {"indexByName": order, "renameByName": columns}},
    ]
    made["fieldConfig"]["defaults"]["custom"] = {"align": "left", "cellOptions": {"type": "color-text"}}
    made["fieldConfig"]["defaults"]["color"] = {"mode": "thresholds"}
    made["options"] = {"showHeader": True, "sortBy": [{"desc": False, "displayName": columns["Value"]}]}
    return made


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": 24, "h": 1}}


def placed(panels):
    """From left to right, and on when a row is full."""
    left = top = height = 0
    for number, made in enumerate(panels, 1):
        size = made["gridPos"]
        if left + size["w"] > 24:
            left, top, height = 0, top + height, 0
        made |= {"id": number, "gridPos": size | {"x": left, "y": top}}
        left, height = left + size["w"], max(height, size["h"])
    return panels


def variable(name, label, query):
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def annotation(name, color, expression, more):
    return {
        "name": name,
        "datasource": SOURCE,
        "enable": True,
        "iconColor": color,
        "expr": expression.replace("$S", SELECTOR),
        "step": "60s",
    } | more


def dashboard(name, description, routes, span, panels):
    variables = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}},
        variable("namespace", "Namespace", "label_values(keyferry_build_info, namespace)"),
        variable("job", "Job", 'label_values(keyferry_build_info{namespace=~"$namespace"}, job)'),
    ]
    if routes:
        query = "label_values(keyferry_requests_total{" + SELECTOR + "}, route)"
        variables.append(variable("route", "Route", query))
    links = [
        {"type": "link", "title": title, "url": f"/d/keyferry-{other}", "icon": "dashboard",
         "includeVars": True, "keepTime": True, "targetBlank": False, "tags": [], "tooltip": ""}
        for other, title in DASHBOARDS.items() if other != name
    ]  # fmt: skip
    new = "sum by (version) (keyferry_build_info{$S}) unless sum by (version) (keyferry_build_info{$S} offset 1m)"
    annotations = [
        annotation("Version", BLUE, new, {"titleFormat": "Keyferry {{version}}"}),
        annotation("Configuration taken over", GREY, "keyferry_reload_timestamp_seconds{$S} * 1000",
                   {"titleFormat": "Configuration taken over by {{instance}}", "useValueForTime": True}),
    ]  # fmt: skip
    return {
        "uid": f"keyferry-{name}",
        "title": f"Keyferry / {DASHBOARDS[name]}",
        "description": description,
        "tags": ["keyferry"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": f"now-{span}", "to": "now"},
        "timezone": "browser",
        "links": links,
        "annotations": {"list": annotations},
        "templating": {"list": variables},
        "panels": placed(panels),
    }


def main(folder):
    from panels import gateway, migration, store

    for module in (gateway, migration, store):
        made = module.made()
        text = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
        (folder / f"{made['uid']}.json").write_text(text)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    # The panels' modules import this one.
    sys.modules["generate"] = sys.modules["__main__"]
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
