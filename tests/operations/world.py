"""What docs/OPERATIONS.md speaks of, on this machine: a Redis, two gateways with one configuration, a backend, and a
client with a certificate. Everything is real, in a folder of its own, and ends with it."""

import http.client
import http.server
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests/support"))
from ports import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("KEYFERRY_PROGRAM", ROOT / "target/debug/keyferry"))
HOST = "api.example.com"
PATIENCE = 60


def wait_for(what, attempt):
    end = time.monotonic() + PATIENCE
    while True:
        found = attempt()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.1)


class Answer(http.server.BaseHTTPRequestHandler):
    """Of a backend that answers everything, and remembers the head of the last request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.server.head = f"{self.requestline}\r\n{self.headers}"
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class World:
    """The configuration is made of `settings`: `configure(peppers=[1, 2])`."""

    def __init__(self, more=""):
        self.folder = tempfile.TemporaryDirectory(prefix="keyferry-operations-")
        self.path = pathlib.Path(self.folder.name)
        self.processes = []
        self.redis_port = free_port()
        self.backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.backend.serve_forever, daemon=True).start()
        self.settings = {
            "peppers": [1],
            "current": None,
            "record_keys": [1],
            "signing": "orders-1",
            "cas": ["clients"],
            "crl": False,
            "front": ["front-1.secret"],
            "redis_user": "",
            "more": more,
        }

    def start(self):
        """Makes the files, and starts everything; `close` ends what was started."""
        for folder in ("backups", "crl"):
            (self.path / folder).mkdir()
        for secret in ("pepper-1.key", "record-1.key", "orders-1.key", "ticket.key", "front-1.secret"):
            self.sh(f"openssl rand -hex 32 > {secret}; chmod 600 {secret}")
        self.authority("clients")
        self.authority("servers")
        self.certificate("servers", "server", f"subjectAltName=DNS:{HOST}", "serverAuth")
        self.certificate("clients", "acme", "subjectAltName=DNS:acme.example.com", "clientAuth")
        self.redis = self.start_redis()
        self.ports = [[free_port() for _ in range(3)] for _ in range(2)]
        self.configure()
        self.gateways = [self.start_gateway(number) for number in range(2)]
        self.curl_at(0)

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.backend.shutdown()
        self.folder.cleanup()

    def curl_at(self, number):
        """From now on, curl reaches this gateway under the names that the page has."""
        public, telemetry, _ = self.ports[number]
        (self.path / ".curlrc").write_text(
            f'cacert = "{self.path}/servers.pem"\n'
            f'connect-to = "{HOST}:443:127.0.0.1:{public}"\n'
            f'connect-to = "localhost:9090:127.0.0.1:{telemetry}"\n'
        )

    def sh(self, text, status=0):
        """Runs the lines as the reader of the page would; gives what they print."""
        environment = {
            "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
            "HOME": self.folder.name,
            "CURL_HOME": self.folder.name,
            "KEYFERRY_CONFIG": f"{self.folder.name}/keyferry.toml",
            "REDIS": f"redis://127.0.0.1:{self.redis_port}/0",
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.path, env=environment, capture_output=True, text=True, timeout=PATIENCE,
        )
        told = f"{text}\n{done.stdout}{done.stderr}"
        assert done.returncode == status, f"status {done.returncode}, not {status}:\n{told}"
        return done.stdout + done.stderr

    def authority(self, name):
        key = "ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        self.sh(f"openssl req -x509 -newkey {key} -days 90 -subj /CN={name} -addext keyUsage=critical,keyCertSign,cRLSign -keyout {name}.key -out {name}.pem")

    def certificate(self, authority, name, names, purpose):
        key = "ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        self.sh(
            f"openssl req -x509 -CA {authority}.pem -CAkey {authority}.key -newkey {key} -days 30 -subj /CN={name} "
            f"-addext {names} -addext extendedKeyUsage={purpose} -addext basicConstraints=critical,CA:false "
            f"-keyout {name}.key -out {name}.pem; chmod 600 {name}.key"
        )

    def start_redis(self, port=None):
        self.redis_port = port or self.redis_port
        self.redis_cli = f"redis-cli -p {self.redis_port}"
        return self.run_redis("--appendonly", "yes")

    def run_redis(self, *options):
        folder = tempfile.mkdtemp(dir=self.path)
        command = ["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "", *options]
        with open(f"{folder}/log", "w") as log:
            redis = subprocess.Popen(command, cwd=folder, stdout=log)
        self.processes.append(redis)
        wait_for("Redis", lambda: "PONG" in self.sh(f"{self.redis_cli} ping || true"))
        return redis

    def start_from(self, copy):
        """Redis at the same place, with what this copy has."""
        self.redis.kill()
        self.redis.wait()
        self.redis = self.run_redis("--dbfilename", str(copy), "--dir", str(self.path))

    def configure(self, file="keyferry.toml", **changes):
        """Writes the configuration, as the reader does, who changes a part of it."""
        self.settings.update(changes)
        new = self.path / "new"
        new.write_text(self.configuration())
        new.replace(self.path / file)

    def configuration(self):
        settings = self.settings
        public, telemetry, admin = self.ports[0]
        current, user = settings["current"], settings["redis_user"]
        secrets = ", ".join(f'{{ version = {n}, file = "record-{n}.key" }}' for n in settings["record_keys"])
        fronts = ", ".join(f'"{name}"' for name in settings["front"])
        crl = '[ca.crl]\nfolders = ["crl"]\n' if settings["crl"] else ""
        return "\n".join([
            f'[listener]\naddress = "127.0.0.1:{public}"\nclient_certificates = "optional"',
            'ticket_key_file = "ticket.key"',
            '[[listener.certificate]]\ncertificate_file = "server.pem"\nkey_file = "server.key"',
            *[f'[[ca]]\nname = "{ca}"\nfile = "{ca}.pem"\n{crl}' for ca in settings["cas"]],
            '[enrolment]\nmode = "auto"',
            "[key]", *([f"current_pepper = {current}"] if current else []),
            *[f'[[key.pepper]]\nversion = {n}\nfile = "pepper-{n}.key"' for n in settings["peppers"]],
            f'[store]\nkind = "redis"\nurl = "redis://{user}127.0.0.1:{self.redis_port}/0"\nrecord_keys = [{secrets}]',
            *(['password_file = "redis.password"'] if user else []),
            f'[[backend]]\nname = "orders"\naddresses = ["127.0.0.1:{self.backend.server_port}"]',
            f'signing = {{ key_id = "{settings["signing"]}", secret_file = "{settings["signing"]}.key" }}',
            '[[route]]\nname = "orders"\nbackend = "orders"\naccept = "either"',
            f'[[front]]\nname = "edge"\nfrom = ["10.0.0.5"]\nformat = "rfc9440"\nsecret_files = [{fronts}]',
            '[shutdown]\nlame_duck = "1ms"\ndrain_timeout = "1s"\nupgrade_socket = "upgrade.sock"',
            f'[telemetry]\naddress = "127.0.0.1:{telemetry}"\n[admin]\naddress = "127.0.0.1:{admin}"\n',
            settings["more"],
        ])

    def start_gateway(self, number, *options):
        places = zip(("LISTENER", "TELEMETRY", "ADMIN"), self.ports[number])
        environment = {f"KEYFERRY__{place}__ADDRESS": f"127.0.0.1:{port}" for place, port in places}
        environment["KEYFERRY__SHUTDOWN__UPGRADE_SOCKET"] = f"upgrade-{number}.sock"
        command = [PROGRAM, "run", "--config", self.path / "keyferry.toml", *options]
        log = open(self.path / f"gateway-{number}.log", "a")
        gateway = subprocess.Popen(command, cwd=self.path, env=environment, stdout=log, stderr=log)
        self.processes.append(gateway)
        wait_for("a gateway", lambda: self.ready(number, gateway))
        return gateway

    def ready(self, number, gateway):
        assert gateway.poll() is None, (self.path / f"gateway-{number}.log").read_text()[-3000:]
        return self.telemetry(number, "/readyz")[0] == 200

    def restart(self, number):
        self.gateways[number].terminate()
        self.gateways[number].wait(PATIENCE)
        self.gateways[number] = self.start_gateway(number)

    def telemetry(self, number, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[number][1], timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def metric(self, series, number=0):
        """The value of one series; none when it is not there."""
        for line in self.telemetry(number, "/metrics")[1].splitlines():
            if line.startswith(f"{series} "):
                return float(line.split()[-1])
        return None

    def metric_is(self, series, value):
        """Waits until every gateway shows it."""
        for number in range(len(self.gateways)):
            wait_for(f"{series} {value}", lambda: self.metric(series, number) == value)

    def call(self, *credentials, path="/", number=0):
        """The status that a client gets."""
        self.curl_at(number)
        told = self.sh(f"curl -s -o body -w '%{{http_code}}' {' '.join(credentials)} https://{HOST}{path}")
        self.curl_at(0)
        return int(told)

    def signed(self):
        """Under which name the backend's last request was signed."""
        return re.findall(r'keyid="([^"]*)"', self.backend.head)

    def by_certificate(self, name="acme", **more):
        return self.call(f"--cert {name}.pem --key {name}.key", **more)

    def by_key(self, key, **more):
        return self.call(f"-H 'Authorization: Bearer {key}'", **more)
