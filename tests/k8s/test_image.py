"""The image: its Dockerfile is well written and in step, and the program needs nothing that the image does not have.

No image is built here. Instead the program runs as the image's user in a folder with what the base has of it: the
system libraries that it names, a root that cannot be written to, and the volumes of the manifests at their places.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import unittest

import manifests
import volumes

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests/support"))
from ports import free_port

DOCKERFILE = manifests.ROOT / "Dockerfile"
KEYFERRY = manifests.ROOT / "target/debug/keyferry"
USER = 65532
# What distroless/cc has of libraries that programs are linked with.
BASE = {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6", "libgcc_s.so.1", "libm.so.6", "libstdc++.so.6"}


def lint(text):
    done = subprocess.run([manifests.TOOLS / "hadolint", "-"], input=text, capture_output=True, text=True)
    return done.stdout + done.stderr


class Dockerfile(unittest.TestCase):
    text = DOCKERFILE.read_text()

    def test_it_is_well_written(self):
        self.assertEqual(lint(self.text), "")
        self.assertIn("DL3002", lint(self.text + "USER root\n"))
        self.assertIn("DL3006", lint(self.text.replace("${RUNTIME}", "debian")))

    def test_it_is_in_step(self):
        package = tomllib.loads((manifests.ROOT / "Cargo.toml").read_text())["package"]
        toolchain = tomllib.loads((manifests.ROOT / "rust-toolchain.toml").read_text())["toolchain"]
        self.assertIn(f"rust:{toolchain['channel']}-", self.text)
        self.assertIn(f'image.version="{package["version"]}"', self.text)
        self.assertIn(f'image.licenses="{package["license"]}"', self.text)
        self.assertIn(package["description"], self.text)
        pod = manifests.find(manifests.all_of_them()["overlays/prod"], "Deployment")["spec"]["template"]["spec"]
        self.assertIn(f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}\n", self.text)
        (variable,) = pod["containers"][0]["env"]
        self.assertIn(f"ENV {variable['name']}={variable['value']}\n", self.text)

    def test_what_it_copies_is_sent_to_the_builder_and_nothing_else(self):
        copied = set()
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", self.text, re.MULTILINE):
            copied |= {source.removeprefix("./") for source in sources.split()}
        copied |= set(re.findall(r"--mount=type=bind,source=([^,]+)", self.text))
        sent = re.findall(r"^!(.+)$", (manifests.ROOT / ".dockerignore").read_text(), re.MULTILINE)
        self.assertEqual(copied, set(sent))
        for source in copied:
            self.assertTrue((manifests.ROOT / source).exists(), source)

    def test_what_is_compiled_in_is_copied(self):
        """Files beside the sources that the program is made of."""
        for source in (manifests.ROOT / "src").rglob("*.rs"):
            if "tests" in source.with_suffix("").parts:
                continue
            production, _, _ = source.read_text().partition("#[cfg(test)]")
            for name in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', production):
                file = (source.parent / name).resolve().relative_to(manifests.ROOT)
                self.assertTrue(file.parts[0] == "src" or f"COPY {file} " in self.text, file)


def libraries():
    listed = subprocess.run(["ldd", KEYFERRY], check=True, capture_output=True, text=True).stdout
    return [pathlib.Path(path) for path in re.findall(r"(/\S+\.so\S*) \(", listed)]


def fill(root, resources, made):
    """What the image and the kubelet bring; secrets belong to root, and to the group of the pod."""
    shutil.copy(KEYFERRY, root / "keyferry")
    for library in libraries():
        (root / library.parent.relative_to("/")).mkdir(parents=True, exist_ok=True)
        shutil.copy(library, root / library.relative_to("/"))
    volumes.lay(resources, root, made, in_place=True)
    for file in root.rglob("*"):
        if file.is_file() and not file.is_symlink() and file.stat().st_mode & 0o777 == 0o440:
            os.chown(file, 0, USER)


def contained(root, *command, user=USER, first="true"):
    """The command, in its own view of the files: `root` read-only but for the volume for state, after `first`."""
    state = pathlib.Path(f"{root}.state")
    state.mkdir(exist_ok=True)
    os.chown(state, USER, USER)
    script = (
        f"mount --bind {root} {root}; mount -o remount,bind,ro {root}; mount --bind {state} {root}/var/lib/keyferry; "
        f'{first}; exec chroot --userspec={user}:{user} {root} "$@"'
    )
    return ["unshare", "--mount", "sh", "-ec", script, "sh", *command]


@unittest.skipUnless(os.geteuid() == 0, "NOT RUN: to be another user in another root takes root")
class Contained(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        self.root, made = pathlib.Path(folder.name) / "root", pathlib.Path(folder.name) / "made"
        self.root.mkdir()
        made.mkdir()
        fill(self.root, manifests.all_of_them()["overlays/dev"], made)
        self.redis, password = free_port(), (made / "redis.password").read_text().strip()
        settings = [f"port {self.redis}", "bind 127.0.0.1", f"dir {made}", "appendonly yes",
                    f"user keyferry on >{password} ~* &* +@all"]
        (made / "redis.conf").write_text("\n".join(settings))
        self.begin("redis-server", made / "redis.conf")

    def begin(self, *command, **options):
        log = open(f"{self.root}.log", "a+")
        self.addCleanup(log.close)
        process = subprocess.Popen(command, stdout=log, stderr=log, **options)
        self.addCleanup(lambda: (process.kill(), process.wait()))
        return process

    def environment(self):
        telemetry = {"KEYFERRY__TELEMETRY__ADDRESS": f"127.0.0.1:{free_port()}"}
        listener = {"KEYFERRY__LISTENER__ADDRESS": f"127.0.0.1:{free_port()}"}
        store = {"KEYFERRY__STORE__URL": f"redis://keyferry@127.0.0.1:{self.redis}/0"}
        admin = {"KEYFERRY__ADMIN__ADDRESS": f"127.0.0.1:{free_port()}"}
        config = {"KEYFERRY_CONFIG": "/etc/keyferry/config/keyferry.toml", "PATH": os.environ["PATH"]}
        return telemetry | listener | store | admin | config

    def test_the_program_serves_with_nothing_but_what_the_image_has(self):
        self.assertLessEqual({library.name for library in libraries()}, BASE)
        environment = self.environment()

        def run(*arguments):
            return subprocess.run(contained(self.root, *arguments), env=environment, capture_output=True, text=True)

        self.assertEqual(run("/keyferry", "health").returncode, 69, "nobody is there yet")
        checked = run("/keyferry", "check")
        self.assertEqual(checked.returncode, 0, checked.stdout)
        gateway = self.begin(*contained(self.root, "/keyferry", "run"), env=environment)
        for _ in range(100):
            health = run("/keyferry", "health")
            if health.returncode == 0 or gateway.poll() is not None:
                break
            time.sleep(0.2)
        log = pathlib.Path(f"{self.root}.log").read_text()
        self.assertEqual((health.returncode, health.stdout), (0, "ready\n"), log)
        # The process that unshare became.
        status = pathlib.Path(f"/proc/{gateway.pid}/status").read_text()
        self.assertRegex(status, rf"Uid:\s+{USER}\s+{USER}")
        self.assertRegex(status, r"CapEff:\s+0+\n")
        gateway.send_signal(signal.SIGINT)
        self.assertEqual(gateway.wait(30), 0, log)

    def test_nothing_is_writable_and_no_secret_is_anybodys(self):
        """Controls: the root is read-only, and whoever is not of the group reads no secret."""
        def run(*arguments, **options):
            command = contained(self.root, "/keyferry", *arguments, **options)
            return subprocess.run(command, env=self.environment(), capture_output=True, text=True)

        self.assertEqual(run("schema", user=USER + 1).returncode, 0)
        refused = run("check", user=USER + 1)
        self.assertEqual(refused.returncode, 78)
        self.assertIn("Permission denied", refused.stdout)
        self.assertIn("Read-only file system", run("schema", first=f"touch {self.root}/x").stderr)
