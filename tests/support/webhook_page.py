"""Runs the Python of docs/WEBHOOKS.md: takes its text and calls as JSON, gives what each call says."""

import json
import sys

asked = json.load(sys.stdin)
page = {}
exec(asked["code"], page)  # The code of a page of ours.
answers = [
    page["is_from_keyferry"](one["secrets"], one["headers"], one["body"].encode(), one["now"])
    for one in asked["calls"]
]
print(json.dumps(answers))
