"""Prints the rows that the tests left in target/faults as the table of docs/RELIABILITY.md."""

import json
import pathlib
import re
import sys

FAMILIES = ["network", "server", "data", "failover", "cluster", "clock"]
HEADINGS = ["Fault", "Lasted", "Known", "Revoked", "Revoked elsewhere, not known yet", "Unknown", "New",
            "Issue or revoke a key", "Known without service", "Slowest answer", "All well again after",
            "Recovered by"]

here = pathlib.Path(__file__).parent
rows = {}
for file in (here.parent.parent / "target/faults").glob("*.json"):
    row = json.loads(file.read_text())
    rows[row["fault"].replace(" ", "_")] = row


def counts(heard):
    return ", ".join(f"{status} × {count}" for status, count in heard.items()) or "–"


def seconds(millis):
    return f"{millis / 1000:.1f} s" if millis else "–"


def cells(row):
    new = counts(row["new"])
    if row["lost_keys"]:
        new += f"; {row['lost_keys']} lost by Redis"
    groups = [counts(row[group]) for group in ("known", "revoked", "untold", "unknown")]
    times = [seconds(row[f"{what}_ms"]) for what in ("without_service", "slowest", "again")]
    return [row["fault"], seconds(row["lasted_ms"]), *groups, new, counts(row["asking"]), *times,
            row["recovered_by"]]


print("| " + " | ".join(HEADINGS) + " |")
print("|---" * len(HEADINGS) + "|")
missing = []
for family in FAMILIES:
    for test in re.findall(r"#\[test\]\nfn (\w+)\(", (here / f"{family}.rs").read_text()):
        if test in rows:
            print("| " + " | ".join(cells(rows[test])) + " |")
        else:
            missing.append(test)
if missing:
    sys.exit(f"no row of: {', '.join(missing)}")
