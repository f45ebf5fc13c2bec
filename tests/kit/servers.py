"""The servers that carry the verifiers of examples/verify, each a real one of its language, and how they are made."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests/support"))
from ports import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "tests/kit/servers"
KIT = ROOT / "examples/verify"
MADE = ROOT / "target/kit"
PYTHON = ROOT / os.environ.get("KIT_VENV", "target/venv") / "bin/python"
NODE = (ROOT / os.environ.get("KIT_NODE", "target/node")).resolve()
TOMCAT = ":".join(f"/usr/share/java/tomcat10-{part}.jar" for part in (
    "annotations-api", "api", "catalina", "coyote", "jaspic-api", "jni", "juli", "servlet-api", "util", "util-scan"))
PATIENCE = 30

# How each is started at a port, by what it is called.
COMMANDS = {
    "gunicorn": lambda port: [PYTHON, "-m", "gunicorn", "--workers=1", "--threads=4", f"--bind=127.0.0.1:{port}", "server:wsgi"],
    "waitress": lambda port: [PYTHON, "-m", "waitress", f"--listen=127.0.0.1:{port}", "server:wsgi"],
    "uvicorn": lambda port: [PYTHON, "-m", "uvicorn", f"--port={port}", "--http=h11", "--log-level=warning", "server:asgi"],
    "uvicorn-httptools": lambda port: [
        PYTHON, "-m", "uvicorn", f"--port={port}", "--http=httptools", "--log-level=warning", "server:asgi"],
    "node": lambda port: ["node", "server.mjs", port, "http"],
    "express": lambda port: ["node", "server.mjs", port, "express"],
    "tomcat": lambda port: ["java", "-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp", f"{TOMCAT}:{MADE}/java", "Server", port, MADE / "java"],
    "go": lambda port: [MADE / "go-server", port],
    "php": lambda port: ["php", "-d", "apc.enable_cli=1", "-S", f"127.0.0.1:{port}", "server.php"],
    "php-fpm": lambda port: ["bash", "php-fpm.sh", port],
    "puma": lambda port: ["puma", "--quiet", "--bind", f"tcp://127.0.0.1:{port}", "server.ru"],
    "mono": lambda port: ["mono", MADE / "Listener.exe", port],
    "rust": lambda port: [ROOT / "target/debug/examples/verify", port],
}
# The same application without a verifier: what is refused above reaches it here.
BARE = {"bare": lambda port: [PYTHON, "-m", "waitress", f"--listen=127.0.0.1:{port}", "server:application"]}


def build():
    """What has to be compiled; the Rust example comes of the Makefile."""
    (MADE / "java").mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOCACHE": str(MADE / "go-cache"), "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    for command, folder in [
        (["go", "vet", "./..."], HERE / "go"),
        (["go", "build", "-o", MADE / "go-server", "."], HERE / "go"),
        (["javac", "-Xlint:all,-serial,-deprecation", "-Werror", "-d", MADE / "java", "-cp", TOMCAT, HERE / "Server.java", KIT / "KeyferryFilter.java"], ROOT),
        (["mcs", "-warnaserror", f"-out:{MADE}/Listener.exe", HERE / "Listener.cs", KIT / "KeyferryVerifier.cs"], ROOT),
    ]:
        subprocess.run([str(word) for word in command], cwd=folder, env=environment, check=True)


class Server:
    """One of them, with these secrets, at the time in a file or at that of the day; ends with `close`."""

    def __init__(self, name, secrets, now=None, remember=None):
        self.name, self.port = name, free_port()
        self.log = tempfile.TemporaryFile("w+")
        environment = {**os.environ, "SECRETS": str(secrets), "NODE": str(NODE), "PYTHONDONTWRITEBYTECODE": "1"}
        environment |= {"NOW": str(now)} if now else {}
        environment |= {"REMEMBER": str(remember)} if remember else {}
        environment |= {"BARE": "1"} if name in BARE else {}
        command = [str(word) for word in (COMMANDS | BARE)[name](self.port)]
        self.process = subprocess.Popen(command, cwd=HERE, env=environment, stdout=self.log, stderr=self.log)

    def wait(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            time.sleep(0.05)
        raise AssertionError(f"{self.name} did not start:\n{self.told()}")

    def told(self):
        self.log.seek(0)
        return self.log.read()[-3000:]

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
