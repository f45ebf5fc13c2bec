"""Asks a real gateway whatever its own OpenAPI document allows, and what it does not (schemathesis), with a token of each
role: nothing may be a server error, and every answer is what the document says."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import jsonschema

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests/support"))
from ports import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("KEYFERRY_PROGRAM", ROOT / "target/debug/keyferry"))
SCHEMATHESIS = pathlib.Path(sys.executable).parent / "st"
# In seconds, of each role. The first sees the least, and the last may do everything.
ROLES = {"viewer": 12, "operator": 16, "admin": 20}
# Who shows no token, or a wrong one, is not listened to after a while: tests/integration/api has that. What is refused
# though the document does not forbid it, or the other way round, depends on what there is, and on more than types.
LEFT_OUT = "ignored_auth,negative_data_rejection,positive_data_acceptance,use_after_free,ensure_resource_availability"


# A request for each operation that has to be done, so that its answer is held against what the document says of it. What a
# stranger to this gateway tries at random is mostly refused.
TRY = {"dry_run": True}
FITTING = [
    ("audit/list", {}),
    ("audit/list", {"after": 1, "limit": 2}),
    ("audit/verify", {}),
    ("certificate/add", {"client": "acme", "certificates": ["ef" * 32]} | TRY),
    ("certificate/add", {"client": "acme", "certificates": ["ef" * 32, "fe" * 32]} | TRY),
    ("certificate/add", {"client": "acme", "sha1": "ef" * 20} | TRY),
    ("certificate/announce", {"client": "acme", "spki": "ef" * 32} | TRY),
    ("certificate/approve", {"fingerprints": ["PENDING"]} | TRY),
    ("certificate/list", {}),
    ("certificate/remove", {"fingerprint": "ab" * 32} | TRY),
    ("certificate/supersede", {"fingerprint": "ab" * 32} | TRY),
    ("client/add", {"ids": ["another"]} | TRY),
    ("client/add", {"ids": ["another", "other"]} | TRY),
    ("client/disable", {"ids": ["acme", "globex"]} | TRY),
    ("client/enable", {"ids": ["acme"]} | TRY),
    ("client/list", {"limit": 1}),
    ("client/show", {"id": "acme"}),
    ("client/tag", {"ids": ["acme"], "add": ["x"]} | TRY),
    ("doctor", {"no_backends": True}),
    ("explain", {"certificates": "PEM"}),
    ("key/issue", {"client": "acme", "expires": "30d"}),
    ("key/issue", {"client": "acme"} | TRY),
    ("key/list", {}),
    ("key/restore", {"id": "REVOKED"} | TRY),
    ("key/revoke", {"id": "REVOKED"} | TRY),
    ("key/rotate", {"client": "acme"}),
    ("letter", {"url": "https://api.example.com"}),
    ("phase/accept", {"client": "initech"} | TRY),
    ("phase/announce", {"all": True, "sunset": "2099-01-01"} | TRY),
    ("phase/brownout", {"all": True, "percent": 10, "force": True, "reason": "a try"} | TRY),
    ("phase/list", {}),
    ("phase/retire", {"client": "initech", "force": True, "reason": "a try"} | TRY),
    ("phase/undo", {"cohort": "mobile"} | TRY),
    ("replica/list", {}),
    ("status", {}),
    ("webhook/dead", {"webhook": "nobody", "waiting": True}),
    ("webhook/forget", {"webhook": "nobody"}),
    ("webhook/list", {}),
    ("webhook/retry", {"webhook": "nobody"}),
    ("webhook/test", {"webhook": "nobody"}),
    ("what-if", {"certificates_off": "2099-01-01", "list": True}),
]


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **options).stdout


def misfit(document, schema, answer):
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "components": document["components"], **schema}
    return next((error.message for error in jsonschema.Draft202012Validator(whole).iter_errors(answer)), None)


def check(document, schema, answer, name):
    error = misfit(document, schema, answer)
    assert error is None, f"{name}: {error}\n{json.dumps(answer, indent=2)}"
    # The control: an answer of another kind would be found.
    assert misfit(document, schema, []), f"anything fits the answer of {name}"


class Gateway:
    """One with an embedded store and everything that there can be in it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        authority = self.folder / "clients-ca.pem"
        run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2",
            "-subj", "/CN=Clients", "-addext", "keyUsage=critical,keyCertSign", "-keyout", self.folder / "clients-ca.key", "-out", authority,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        files = self.folder / "gateway"
        made = ["--ca", authority, "--backend", "http://127.0.0.1:9", "--dir", files]
        run(PROGRAM, "init", *made, stderr=subprocess.DEVNULL)
        self.config = files / "keyferry.toml"
        ports = {table: free_port() for table in ("listener", "telemetry", "admin")}
        addresses = {f"KEYFERRY__{table}__address": f"127.0.0.1:{port}" for table, port in ports.items()}
        self.environment = os.environ | addresses
        # Whoever comes first waits for a word.
        self.environment["KEYFERRY__enrolment__mode"] = "approve"
        self.public = ports["listener"]
        self.url = f"http://127.0.0.1:{ports['admin']}"
        self.ready = f"http://127.0.0.1:{ports['telemetry']}/readyz"
        self.tokens = {role: self.token(role) for role in ROLES}
        tables = [
            f'[[admin.tokens]]\nname = "{role}"\nrole = "{role}"\nsha256 = "{made["sha256"]}"\n'
            for role, made in self.tokens.items()
        ]
        text = self.config.read_text()
        table = "" if "\n[admin]\n" in text else "\n[admin]\n"
        secret = files / "nobody.whsec"
        secret.write_text("whsec_" + run("openssl", "rand", "-base64", "32"))
        secret.chmod(0o600)
        # Nobody is there to take messages, so that some wait.
        webhook = '[[webhook]]\nname = "nobody"\nurl = "https://localhost:9/"\nsecret_file = "nobody.whsec"\n'
        self.config.write_text(f"{text}{table}{''.join(tables)}{webhook}")
        self.log = (self.folder / "log").open("w+")
        command = [PROGRAM, "run", "-c", self.config]
        self.process = subprocess.Popen(command, env=self.environment, stdout=self.log, stderr=self.log)
        self.wait()

    def token(self, role):
        return json.loads(run(PROGRAM, "token", role, "--role", role, "--output", "json"))

    def wait(self):
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(self.ready, timeout=5):
                return
            time.sleep(0.1)
        sys.exit(f"the gateway is not ready:\n{self.told()}")

    def told(self):
        self.log.flush()
        return (self.folder / "log").read_text()

    def fill(self):
        """Something of each kind, so that answers have parts."""
        file = self.folder / "token"
        file.write_text(self.tokens["admin"]["token"])
        file.chmod(0o600)

        def through(*arguments):
            return run(PROGRAM, *arguments, "--server", self.url, "--token-file", file, stderr=subprocess.DEVNULL)

        ca = ["-CA", self.folder / "clients-ca.pem", "-CAkey", self.folder / "clients-ca.key"]
        pending = self.folder / "pending.pem"
        run(
            "openssl", "req", "-x509", *ca, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2",
            "-subj", "/CN=pending", "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=clientAuth",
            "-addext", "keyUsage=critical,digitalSignature",
            "-keyout", self.folder / "pending.key", "-out", pending, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        shown = ["--cert", pending, "--key", self.folder / "pending.key"]
        run("curl", "--silent", "--insecure", *shown, f"https://localhost:{self.public}/")
        through("client", "add", "acme", "globex", "initech", "--tag", "mobile")
        keys = [through("key", "issue", "--client", name).strip() for name in ("acme", "globex")]
        through("key", "revoke", keys[1].split("_")[2])
        through("certificate", "add", "--client", "acme", "ab" * 32)
        through("certificate", "announce", "acme", "--spki", "cd" * 32)
        through("phase", "announce", "--all", "--sunset", "2099-06-30")
        through("phase", "accept", "--client", "globex")
        listed = json.loads(through("certificate", "list", "--pending", "--output", "json"))
        self.known = {"PENDING": listed["certificates"][0]["fingerprint"], "REVOKED": keys[1].split("_")[2]}
        self.known["PEM"] = pending.read_text()
        end = time.monotonic() + 60
        while not json.loads(through("webhook", "list", "--output", "json"))["webhooks"][0]["is_told"]:
            assert time.monotonic() < end, "no gateway tells the webhook anything"
            time.sleep(0.5)
        through("phase", "brownout", "--cohort", "mobile", "--windows", "Tue 10:00-11:00", "--force", "--reason", "a try")

    def fit(self):
        """Every operation is done once at least, and its answer is what the document says."""
        document = self.get("GET", "/openapi.json")
        operations = {path.removeprefix("/v1/") for path in document["paths"] if path.startswith("/v1/")}
        missing = operations.symmetric_difference(name for name, _ in FITTING)
        assert not missing, f"FITTING lacks {missing}, or has it in vain"
        for name, given in FITTING:
            (method, operation), *_ = document["paths"][f"/v1/{name}"].items()
            given = {key: self.known.get(str(value), value) for key, value in given.items()}
            if given.get("fingerprints"):
                given["fingerprints"] = [self.known["PENDING"]]
            answer = self.get(method.upper(), f"/v1/{name}", given)
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            check(document, schema, answer, name)
        for name in ("handshakes", "openapi.json"):
            schema = document["paths"][f"/{name}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
            check(document, schema, self.get("GET", f"/{name}"), name)
        print(f"== {len(FITTING)} answers fit", flush=True)

    def get(self, method, path, given=None):
        headers = {"Authorization": f"Bearer {self.tokens['admin']['token']}", "Content-Type": "application/json"}
        url, body = self.url + path, None
        if given and method == "GET":
            plain = {key: str(value).lower() if isinstance(value, bool) else value for key, value in given.items()}
            url += "?" + urllib.parse.urlencode(plain)
        elif method == "POST":
            body = json.dumps(given).encode()
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            sys.exit(f"{method} {path} {given}: {refused.status} {refused.read().decode()}")

    def ask(self, role, seconds):
        begun = time.monotonic()
        # Python's own output, and not that of the programs that it starts, would be held back.
        print(f"== {role}", flush=True)
        subprocess.run(
            [
                SCHEMATHESIS, "run", f"{self.url}/openapi.json", "--header", f"Authorization: Bearer {self.tokens[role]['token']}",
                "--phases", "examples,coverage,fuzzing", "--max-time", str(seconds), "--exclude-checks", LEFT_OUT,
                "--seed", os.environ.get("SEED", "1"), "--suppress-health-check", "all", "--warnings", "off",
            ],
            check=True,
            cwd=self.folder,
        )  # fmt: skip
        print(f"== {role}: {time.monotonic() - begun:.0f} s", flush=True)

    def end(self):
        self.process.terminate()
        self.process.wait(60)


def main():
    with tempfile.TemporaryDirectory(prefix="keyferry-api-") as folder:
        gateway = Gateway(folder)
        try:
            gateway.fill()
            gateway.fit()
            for role, seconds in ROLES.items():
                gateway.ask(role, seconds)
                gateway.wait()
        except subprocess.CalledProcessError as failed:
            sys.exit(f"{failed.cmd[0]} ended with {failed.returncode}; of the gateway:\n{gateway.told()[-4000:]}")
        finally:
            gateway.end()
        told = gateway.told()
        if "panicked" in told:
            sys.exit(told)


main()
