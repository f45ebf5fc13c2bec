#!/usr/bin/env python3
"""`make kit`: each verifier of examples/verify in a real server of its language, with every vector; then behind a real
gateway; then attacked by `keyferry probe`. Name servers to try those alone."""

import concurrent.futures
import pathlib
import sys
import tempfile
import time

import live
import memory
import servers
from habits import HABITS
from vectors import Vectors, judge, lost

WORKERS = 4
# How much is told of a server at which much is wrong.
FEW = 10


def judged(server, vectors):
    """What is wrong with its judgement of the vectors, and what is told of it."""
    server.wait()
    habits = HABITS.get(server.name, {})
    if server.name in servers.BARE:
        return [f"{name} does not reach it" for name in lost(server.port, vectors.cases, habits)], "every attack reaches it"
    found = ((case["name"], judge(server.port, case, habits)) for case in vectors.cases)
    wrong = [f"{name}: {what}" for name, what in found if what]
    return wrong, f"{len(vectors.cases)} vectors, {len(habits)} of them by its habits"


def lived(gateway, server, who):
    """The same behind the gateway, and under attack by the probe."""
    wrong = list(live.probed(server, HABITS.get(server.name, {})))
    if server.name not in servers.BARE:
        wrong += live.behind(gateway, server, *who)
    return wrong, "a client by certificate and by key, and the probe"


def remembered(name, folder, now):
    """The same with little room to remember."""
    clock, secrets = folder / "now", folder / "secrets"
    secrets.mkdir(parents=True)
    (secrets / memory.KEY_ID).write_bytes(memory.SECRET)
    clock.write_text(str(now))
    server = servers.Server(name, secrets, clock, memory.KEPT)
    try:
        server.wait()
        return list(memory.found(server, clock, now)), "what it cannot remember it refuses"
    finally:
        server.close()


def each(subjects, what):
    """Does it for each at the same time, and tells; whether nothing was wrong."""
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        asked = {pool.submit(what, one): one for one in subjects}
        good = True
        for done in concurrent.futures.as_completed(asked):
            wrong, told = done.result()
            good = good and not wrong
            name = getattr(asked[done], "name", asked[done])
            few = [*wrong[:FEW], *([f"and {len(wrong) - FEW} more"] if len(wrong) > FEW else [])]
            print("\n".join([f"{name}: {line}" for line in few] or [f"{name}: {told}: ok"]), flush=True)
    return good


def main(names):
    begun = time.monotonic()
    names = [*(names or servers.COMMANDS), *servers.BARE]
    vectors = Vectors()
    servers.build()
    with tempfile.TemporaryDirectory(prefix="keyferry-kit-") as folder:
        folder = pathlib.Path(folder)
        secrets = vectors.write_secrets(folder / "secrets")
        (folder / "now").write_text(str(vectors.now))
        started = [servers.Server(name, secrets, folder / "now") for name in names]
        try:
            good = each(started, lambda server: judged(server, vectors))
        finally:
            for server in started:
                server.close()
        names_with = [name for name in names if name not in servers.BARE]
        good = each(names_with, lambda name: remembered(name, folder / name, vectors.now)) and good
        gateway = live.Gateway(folder, names)
        try:
            who = gateway.fetch_key()
            good = each(gateway.servers, lambda server: lived(gateway, server, who)) and good
        finally:
            gateway.close()
    if not good:
        sys.exit("some verifiers are not right")
    print(f"all right, in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
