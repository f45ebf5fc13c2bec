"""`keyferry check` takes the configuration of every overlay and component, on volumes as a kubelet lays them."""

import os
import pathlib
import subprocess
import tempfile
import tomllib
import unittest

import manifests
import volumes
import yaml

KEYFERRY = manifests.ROOT / "target/debug/keyferry"


def check(resources, spoil=lambda root: None):
    """Exit status and output of `keyferry check`, as the Deployment calls the program."""
    pod = manifests.find(resources, "Deployment")["spec"]["template"]["spec"]
    (variable,) = pod["containers"][0]["env"]
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory() as made:
        volumes.lay(resources, root, made)
        spoil(pathlib.Path(root))
        environment = {variable["name"]: f"{root}{variable['value']}"}
        done = subprocess.run([KEYFERRY, "check"], env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr


def with_config(resources, text):
    return manifests.broken(resources, "ConfigMap", "data", {"keyferry.toml": text}, "keyferry-config")


class Config(unittest.TestCase):
    def test_every_configuration_is_right(self):
        for name, resources in manifests.all_of_them().items():
            status, output = check(resources)
            self.assertEqual(status, 0, f"{name}: {output}")
            self.assertIn(": ok", output)

    def test_the_secrets_for_development_are_those_that_are_needed(self):
        with tempfile.TemporaryDirectory() as folder:
            script = manifests.ROOT / "k8s/overlays/dev/secrets.sh"
            path = f"{manifests.TOOLS}:{os.environ['PATH']}"
            made = subprocess.run([script], cwd=folder, env={"PATH": path}, check=True, capture_output=True)
            self.assertEqual(sorted(os.listdir(folder)), ["ca.pem", "client.key", "client.pem"])
        made = list(yaml.safe_load_all(made.stdout))
        self.assertEqual({one["metadata"]["namespace"] for one in made}, {"keyferry"})
        resources = manifests.all_of_them()["overlays/dev"] + made
        status, output = check(resources)
        self.assertEqual(status, 0, output)
        without = [one for one in resources if one["metadata"]["name"] != "keyferry-secrets"]
        made[2]["data"].pop("pepper-1.key")
        self.assertEqual(check(without + made[2:])[0], 78)

    def test_the_store_with_sentinels_fits_into_the_configuration(self):
        store = (manifests.ROOT / "k8s/components/redis-sentinel/store.toml").read_text()
        resources = manifests.all_of_them()["components/redis-sentinel"]
        text = manifests.find(resources, "ConfigMap", "keyferry-config")["data"]["keyferry.toml"]
        before, rest = text.split("[store]\n")
        _, after = rest.split("\n[[backend]]", 1)
        status, output = check(with_config(resources, f"{before}{store}\n[[backend]]{after}"))
        self.assertEqual(status, 0, output)
        self.assertIn("sentinel", output)
        self.assertNotIn("url", tomllib.loads(store)["store"])

    def test_what_is_wrong_is_refused(self):
        """Controls: a setting that does not exist, a secret that is missing, or short, or open to everybody."""
        resources = manifests.all_of_them()["overlays/prod"]
        text = manifests.find(resources, "ConfigMap", "keyferry-config")["data"]["keyferry.toml"]
        altered = with_config(resources, text.replace("lame_duck", "lame_dock"))
        self.assertEqual(check(altered)[0], 78)
        secret = "etc/keyferry/secrets/..data/pepper-1.key"
        for spoil in (
            lambda root: (root / secret).unlink(),
            lambda root: (root / secret).chmod(0o600) or (root / secret).write_text("short"),
            lambda root: (root / secret).chmod(0o444),
        ):
            status, output = check(resources, spoil)
            self.assertEqual(status, 78, output)
            self.assertIn("pepper-1.key", output)
