"""The gateways of the comparison: how each is configured, started, and known to be ready."""

import base64
import http.client
import json
import os
import pathlib
import re
import shutil
import sys
import time

import machine

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests/support"))
from ports import free_port

HERE = pathlib.Path(__file__).resolve().parent
BUILT = HERE.parent.parent / "target/release"
LUA = pathlib.Path("/usr/lib/nginx/modules/ngx_http_lua_module.so")
# What `make setup` brings and Debian does not have.
SERVERS = HERE.parent.parent / "target/suites/servers"


class Shared:
    """What all gateways are given: certificates, secrets, identities, and a backend."""

    def __init__(self, folder):
        self.folder = folder
        self.backend = free_port()
        read = lambda name: (folder / name).read_bytes()
        self.signing = read("signing.key")
        self.identities = [line.split() for line in read("identities").decode().splitlines()]
        self.reserved = reserved = json.loads(read("reserved.json"))
        fold = lambda names: "|".join(name.replace("-", "[^a-z0-9]") for name in names)
        whole, beginnings = fold(reserved["whole"]), fold(reserved["beginnings"])
        self.values = {
            "folder": folder,
            "backend": self.backend,
            "pepper": base64.b64encode(read("pepper.key")).decode(),
            "signing": base64.b64encode(self.signing).decode(),
            "whole": " ".join(reserved["whole"]),
            "beginnings": " ".join(reserved["beginnings"]),
            "reserved": f"^(?:(?:{whole})$|{beginnings})",
        }


class Gateway:
    """One gateway: a peer, or a build of Keyferry."""

    title: str
    # Its files; it is started with the first.
    files: tuple
    values: dict = {}

    def __init__(self, name, program, shared):
        self.name, self.program, self.shared = name, program, shared
        self.folder = shared.folder / re.sub(r"\W", "-", name)
        self.process = None

    def start(self, cpus):
        self.cpus = cpus
        self.folder.mkdir(exist_ok=True)
        self.port, self.workers = free_port(), len(cpus)
        self.prepare()
        values = self.shared.values | self.values | {
            "own": self.folder, "port": self.port, "workers": self.workers, "here": HERE,
        }
        file = [fill(name, self.folder, values) for name in self.files][0]
        log = self.folder / "log"
        begun = time.monotonic()
        self.process = machine.start(self.command(file), log, cpus)
        machine.wait_for(self.name, self.process, log, lambda: machine.is_open(self.port) and self.is_ready())
        self.took = time.monotonic() - begun
        self.pids = machine.family(self.process.pid)

    def restart(self):
        self.end()
        self.start(self.cpus)

    def end(self):
        if self.process:
            machine.end(self.process)
            self.process = None

    def prepare(self):
        """Makes what it needs beside its configuration."""

    def is_ready(self):
        """Whether it has loaded all identities; peers have before they listen."""
        return True


class Keyferry(Gateway):
    title = "Keyferry"
    files = ("keyferry.toml",)

    # How many routes there are beside the one that is used.
    routes = 0

    def prepare(self):
        # A store has one owner, so each has a copy.
        shutil.copy(self.shared.folder / "keyferry.redb", self.folder)
        route = '[[route]]\nname = "{0}"\nhost = "*"\npath = "/v1/{0}"\nbackend = "orders"\naccept = "either"\n'
        routes = "".join(route.format(f"other-{number}") for number in range(self.routes))
        self.values = {"telemetry": free_port(), "routes": routes}

    def command(self, file):
        # As many threads as it may use CPUs.
        return self.program, "run", "-c", file

    def is_ready(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.values["telemetry"], timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def version(self):
        return machine.output(self.program, "--version").strip()


class HAProxy(Gateway):
    title = "HAProxy"
    files = ("haproxy.cfg",)

    def prepare(self):
        read = lambda name: (self.shared.folder / name).read_bytes()
        (self.folder / "server.pem").write_bytes(read("server.pem") + read("server.key"))

    def command(self, file):
        return self.program, "-db", "-f", file

    def version(self):
        text = machine.output(self.program, "-vv")
        library = re.search(r"Running on OpenSSL version : (.*)", text)
        return f"HAProxy {text.split()[2]} with {library[1] if library else 'an unknown TLS library'}"


class Nginx(Gateway):
    title = "nginx"
    files = ("nginx.conf",)

    def command(self, file):
        return self.program, "-e", "stderr", "-c", file

    def version(self):
        text = machine.output(self.program, "-V")
        version = re.search(r"nginx/(\S+)", text)[1]
        library = re.findall(r"(?:built|running) with (OpenSSL [\w.]+)", text)[-1]
        return f"nginx {version} with {library}"

    def is_ready(self):
        """Whether all workers are there beside the process that started them."""
        return len(machine.family(self.process.pid)) == 1 + self.workers


class Envoy(Gateway):
    title = "Envoy"
    files = "envoy.yaml", "envoy.lua"

    def command(self, file):
        return self.program, "-c", file, "--concurrency", self.workers, "--disable-hot-restart", "--log-level", "error"

    def version(self):
        _, version, *_, library = machine.output(self.program, "--version").split()[-1].split("/")
        return f"Envoy {version} with {library}"


# Where each is found, and how to bring it.
PEERS = {
    "haproxy": (HAProxy, lambda: machine.find("haproxy"), "apt-get install haproxy"),
    "nginx": (Nginx, lambda: LUA.exists() and machine.find("nginx"), "apt-get install nginx libnginx-mod-http-lua"),
    "envoy": (Envoy, lambda: machine.find("envoy") or machine.find(SERVERS / "envoy"), "make setup"),
}


def peers(names, shared):
    """The peers of these names; ends with what to install when one is missing."""
    found = []
    for name in names:
        if name not in PEERS:
            raise SystemExit(f"unknown peer {name}; there are {', '.join(PEERS)}")
        kind, find, install = PEERS[name]
        if not (program := find()):
            raise SystemExit(f"{name} is missing; bring it with: {install}")
        found.append(kind(kind.title, program, shared))
    return found


class Backend:
    """The nginx that answers them all."""

    def __init__(self, shared):
        self.shared = shared

    def __enter__(self):
        nginx = peers(["nginx"], self.shared)[0].program
        folder = self.shared.folder / "backend"
        folder.mkdir(exist_ok=True)
        (folder / "export").write_bytes(b"x" * 16384)
        file = fill("backend.conf", folder, self.shared.values | {"own": folder})
        log = folder / "log"
        self.process = machine.start((nginx, "-e", "stderr", "-c", file), log, os.sched_getaffinity(0))
        machine.wait_for("the backend", self.process, log, lambda: machine.is_open(self.shared.backend))

    def __exit__(self, *_):
        machine.end(self.process)


def fill(name, into, values):
    """Writes a configuration with values in place of {{name}}; the file's path."""
    text = (HERE / name).read_text()
    text = re.sub(r"\{\{(\w+)\}\}", lambda found: str(values[found[1]]), text)
    (into / name).write_text(text)
    return into / name
