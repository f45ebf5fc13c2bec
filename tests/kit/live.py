"""A real gateway in front of the servers, one route each: a client comes by its certificate and by its key. And `keyferry
probe`, which comes past the gateway."""

import http.client
import json
import os
import pathlib
import ssl
import subprocess
import time

from servers import BARE, PATIENCE, ROOT, Server, free_port

PROGRAM = pathlib.Path(os.environ.get("KEYFERRY_PROGRAM", ROOT / "target/debug/keyferry"))
# What a backend is asked for, under the route of its name: with everything that servers like to change.
TARGETS = ("", "/", "/a%20b//c;d/%c3%a9?q=%3F&q=+&&", "/orders?")
HOST = "api.example.com"
BODY = b"hello"
DIGEST = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:"


class Gateway:
    """With a backend, a secret and a route for each of these servers."""

    def __init__(self, folder, names):
        self.folder = folder / "gateway"
        self.port, self.telemetry, admin = free_port(), free_port(), free_port()
        subprocess.run(
            [PROGRAM, "init", "--dev-ca", "--backend", "http://127.0.0.1:1", "--dir", self.folder],
            check=True, stdout=subprocess.DEVNULL,
        )
        self.servers = [self.backend(folder, name) for name in names]
        environment = {
            "KEYFERRY__LISTENER__ADDRESS": f"127.0.0.1:{self.port}",
            "KEYFERRY__TELEMETRY__ADDRESS": f"127.0.0.1:{self.telemetry}",
            "KEYFERRY__ADMIN__ADDRESS": f"127.0.0.1:{admin}",
        }
        self.log = (self.folder / "log").open("w")
        command = [PROGRAM, "run", "--config", self.folder / "keyferry.toml"]
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=self.log)
        for server in self.servers:
            server.wait()
        self.wait()

    def backend(self, folder, name):
        """Starts the server with a secret of its own, and has the gateway know of it."""
        key_id = f"{name}-1"
        secrets = folder / f"secrets-{name}"
        secrets.mkdir()
        (secrets / key_id).write_text(os.urandom(32).hex() + "\n")
        (secrets / key_id).chmod(0o600)
        server = Server(name, secrets)
        server.secret = f"{key_id}={secrets / key_id}"
        with (self.folder / "keyferry.toml").open("a") as file:
            file.write(
                f'\n[[backend]]\nname = "{name}"\naddresses = ["127.0.0.1:{server.port}"]\n'
                f'signing = {{ key_id = "{key_id}", secret_file = "{secrets / key_id}" }}\n'
                f'[[route]]\nname = "{name}"\npath = "/{name}"\nbackend = "{name}"\naccept = "either"\n'
            )
        return server

    def wait(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if self.ask(http.client.HTTPConnection("127.0.0.1", self.telemetry), "GET", "/readyz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"the gateway did not start:\n{(self.folder / 'log').read_text()[-3000:]}")

    @staticmethod
    def ask(connection, method, target, headers=None, body=None):
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()

    def call(self, method, target, key=None, headers=None, body=None):
        """As the client: with this key, or otherwise with its certificate."""
        context = ssl.create_default_context(cafile=self.folder / "server.pem")
        headers = {"Host": HOST, **(headers or {})}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        else:
            context.load_cert_chain(self.folder / "client.pem", self.folder / "client.key")
        connection = http.client.HTTPSConnection("localhost", self.port, context=context, timeout=PATIENCE)
        try:
            return self.ask(connection, method, target, headers, body)
        finally:
            connection.close()

    def fetch_key(self):
        """The client's own key, and who it is to the gateway."""
        status, _, body = self.call("POST", "/.well-known/keyferry/key", headers={"Idempotency-Key": os.urandom(16).hex()})
        assert status in (200, 201), f"no key: {status} {body}"
        return json.loads(body)["key"], json.loads(self.call("GET", "/.well-known/keyferry/whoami")[2])

    def close(self):
        for process in (self.process, *(server.process for server in self.servers)):
            process.terminate()
        for process in (self.process, *(server.process for server in self.servers)):
            process.wait(PATIENCE)
        self.log.close()


def behind(gateway, server, key, who):
    """What goes wrong for a client of the gateway at this server."""
    for by in (None, key):
        for method, target, headers, body in [
            *(("GET", target, None, None) for target in TARGETS),
            ("POST", "", None, BODY),
            ("PUT", "/x?y", {"Content-Digest": DIGEST}, BODY),
            ("DELETE", "/x", None, None),
        ]:
            status, answered, told = gateway.call(method, f"/{server.name}{target}", by, headers, body)
            seen = (answered.get("Echo-Client"), answered.get("Echo-Key-Id"))
            if (status, *seen) != (200, who["client_id"], who["key_id"]):
                yield f"{method} {target!r} by {'key' if by else 'certificate'}: {status} {seen} {told}"
    status, answered, told = gateway.call("PUT", f"/{server.name}/x", key, {"Content-Digest": DIGEST}, b"hallo")
    if status == 200:
        yield f"another body is believed: {status} {told}"


def probed(server, habits):
    """What `keyferry probe` finds, with the secret of the server; everything it tries is refused, but for habits."""
    excepted = ["disguised"] if "X_Client_Id beside" in habits else []
    command = [PROGRAM, "probe", f"http://127.0.0.1:{server.port}/v1/orders?a=b", "--secret", server.secret, "--host", HOST]
    command += [word for name in excepted for word in ("--except", name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if server.name in BARE:
        return [] if done.returncode == 1 and "BELIEVED" in done.stdout else [f"the probe finds nothing: {done.stdout}"]
    return [] if done.returncode == 0 else [f"the probe ends with {done.returncode}:\n{done.stdout}{done.stderr}"]
