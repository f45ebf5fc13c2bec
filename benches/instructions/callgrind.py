"""Valgrind's callgrind: how a program is run under it, told when to count, and what it has counted."""

import re
import subprocess

import machine


def command(out, *options):
    """What to put before a program's own command line; counts go to `out`, or to out.1, out.2 and so on."""
    return ("valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}", *options)


def dump(out, number):
    """The file of the dump with this number."""
    return out.with_name(f"{out.name}.{number}")


def control(pid, *order):
    done = subprocess.run(["callgrind_control", *order, str(pid)], capture_output=True, text=True, timeout=300)
    if done.returncode or "OK" not in done.stdout:
        raise SystemExit(f"callgrind_control {' '.join(order)} failed: {done.stdout}{done.stderr}")


def total(file):
    """All instructions of one file."""
    return int(re.search(r"^totals: (\d+)", file.read_text(), re.M)[1])


def called(file, callers, callees):
    """The instructions of calls by functions whose names begin with one of `callers` into those whose names begin with
    one of `callees`, with all that these call in turn; and how many calls those were."""
    names, caller, callee, calls = {}, "", "", None
    instructions = number = 0

    def name(text):
        """A name is told once, with its number, and then by the number alone."""
        known, _, told = text.rstrip().partition(" ")
        return names.setdefault(known, told)

    with open(file) as lines:
        for line in lines:
            if line.startswith("fn="):
                caller = name(line[3:])
            elif line.startswith("cfn="):
                callee = name(line[4:])
            elif line.startswith("calls="):
                calls = int(line[6:].split()[0])
            elif calls is not None:
                # The line after "calls=": where the call is made, and what all of them cost together.
                if caller.startswith(callers) and callee.startswith(callees):
                    instructions += int(line.split()[1])
                    number += calls
                calls = None
    return instructions, number
