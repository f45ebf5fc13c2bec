"""The component sidecar-verifier in k8s/examples/backend: it fits the schemas, the restricted profile, the gateway's own
manifests, and the program, which is run by the very command line that is rendered.
"""

import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

import manifests
from manifests import at, find
from test_restricted import RULES
from test_schemas import wrong

KEYFERRY = manifests.ROOT / "target/debug/keyferry"
LABEL = {"keyferry-verify": "sidecar"}
SIDECAR = "spec.template.spec.initContainers.0"
NAMESPACE = "kubernetes.io/metadata.name"


def rendered():
    return manifests.kustomize(manifests.ROOT / "k8s/examples/backend")


def sidecar(resources):
    return at(find(resources, "Deployment", "orders"), SIDECAR)


def option(container, name):
    (value,) = [arg.split("=", 1)[1] for arg in container["args"] if arg.startswith(f"--{name}=")]
    return value


def disagreements(resources):
    """What does not fit together: ports, volumes, labels, and what the gateway may call."""
    deployment, service = find(resources, "Deployment", "orders"), find(resources, "Service", "orders")
    policy = find(resources, "NetworkPolicy", "only-through-the-verifier")
    pod, container = at(deployment, "spec.template.spec"), sidecar(resources)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    listens = {"verified": "listen", "verify-metrics": "telemetry"}
    for name, told in listens.items():
        if option(container, told) != f"[::]:{ports.get(name)}":
            yield f"the port {name} is not where it listens"
    if container.get("restartPolicy") != "Always":
        yield "it is no sidecar: the backend would never start"
    if option(container, "backend") != f"127.0.0.1:{pod['containers'][0]['ports'][0]['containerPort']}":
        yield "it calls another port than the backend's"
    if [port["targetPort"] for port in service["spec"]["ports"]] != ["verified"]:
        yield "the Service leads past it"
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    secrets = [volume["name"] for volume in pod["volumes"] if at(volume, "secret.secretName") == "keyferry-verify"]
    if [mounts.get(option(container, "secrets"))] != secrets:
        yield "its secrets are mounted elsewhere"
    labels = at(deployment, "spec.template.metadata.labels")
    if not policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items():
        yield "the network policy is of other pods"
    if [port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]] != list(listens):
        yield "another port is open"
    probes = [probe["httpGet"]["port"] for name, probe in container.items() if name.endswith("Probe")]
    if probes != ["verify-metrics"] * 3:
        yield "a probe asks elsewhere"


def gateway_may_call(resources):
    """The gateway's policy lets it call the sidecar's port in the backend's namespace, and it is the gateway who is let in."""
    base = manifests.all_of_them()["components/sidecar-verifier"]
    namespace = find(resources, "Deployment", "orders")["metadata"]["namespace"]
    port = int(option(sidecar(resources), "listen").rsplit(":", 1)[1])
    allowed = [
        entry["port"]
        for rule in find(base, "NetworkPolicy")["spec"]["egress"]
        for peer in rule["to"]
        if (at(peer, "namespaceSelector.matchLabels") or {}).get(NAMESPACE) == namespace
        for entry in rule["ports"]
    ]
    peer = find(resources, "NetworkPolicy", "only-through-the-verifier")["spec"]["ingress"][0]["from"][0]
    gateway = find(base, "Deployment")
    is_it = peer["podSelector"]["matchLabels"].items() <= at(gateway, "spec.template.metadata.labels").items()
    is_there = peer["namespaceSelector"]["matchLabels"] == {NAMESPACE: gateway["metadata"]["namespace"]}
    return port in allowed and is_it and is_there


class Sidecar(unittest.TestCase):
    def setUp(self):
        self.resources = rendered()

    def test_it_fits_the_schemas_and_the_restricted_profile(self):
        for resource, answer in zip(self.resources, wrong(self.resources), strict=True):
            self.assertEqual(answer, [], resource["kind"])
        for _, _, pod in manifests.pods(self.resources):
            for rule, (holds, _) in RULES.items():
                self.assertTrue(holds(pod), rule)

    def test_a_sidecar_that_breaks_a_rule_is_noticed(self):
        for rule, path, value in (
            ("not root", "securityContext.runAsNonRoot", False),
            ("no capabilities", "securityContext.capabilities", None),
            ("nothing is written into the image", "securityContext.readOnlyRootFilesystem", None),
            ("memory is bounded by what is asked for, and CPU is not", "resources.limits", None),
        ):
            altered = manifests.broken(self.resources, "Deployment", f"{SIDECAR}.{path}", value, "orders")
            ((_, _, pod),) = manifests.pods(altered)
            self.assertFalse(RULES[rule][0](pod), rule)

    def test_everything_agrees(self):
        self.assertEqual(list(disagreements(self.resources)), [])
        self.assertTrue(gateway_may_call(self.resources))
        image = find(manifests.all_of_them()["components/sidecar-verifier"], "Deployment")
        self.assertEqual(sidecar(self.resources)["image"], at(image, "spec.template.spec.containers.0.image"))

    def test_what_does_not_agree_is_noticed(self):
        for kind, name, path, value in (
            ("Deployment", "orders", f"{SIDECAR}.ports.0.containerPort", 8080),
            ("Deployment", "orders", f"{SIDECAR}.restartPolicy", None),
            ("Deployment", "orders", f"{SIDECAR}.volumeMounts.0.mountPath", "/etc/keyferry/other"),
            ("Deployment", "orders", "spec.template.spec.containers.0.ports.0.containerPort", 9000),
            ("Deployment", "orders", "spec.template.metadata.labels", {}),
            ("Deployment", "orders", f"{SIDECAR}.livenessProbe.httpGet.port", "verified"),
            ("Service", "orders", "spec.ports.0.targetPort", "http"),
            ("NetworkPolicy", "only-through-the-verifier", "spec.ingress.0.ports.0.port", 8080),
        ):
            altered = manifests.broken(self.resources, kind, path, value, name)
            self.assertNotEqual(list(disagreements(altered)), [], f"{kind} {path}")
        other = manifests.broken(self.resources, "Deployment", "metadata.namespace", "elsewhere", "orders")
        self.assertFalse(gateway_may_call(other))

    def test_what_is_not_labelled_stays_as_it_is(self):
        base = find(manifests.all_of_them()["components/sidecar-verifier"], "Deployment")
        self.assertNotIn("initContainers", base["spec"]["template"]["spec"])

    def test_the_program_takes_the_command_line_that_is_rendered(self):
        container = sidecar(self.resources)
        with tempfile.TemporaryDirectory() as folder, socket.socket() as one, socket.socket() as other:
            for held in (one, other):
                held.bind(("127.0.0.1", 0))
            ports = {"8081": one.getsockname()[1], "9091": other.getsockname()[1]}
            for held in (one, other):
                held.close()
            # As the kubelet mounts a Secret for a pod with fsGroup.
            secret = pathlib.Path(folder) / "..data" / "orders-2026-11"
            secret.parent.mkdir()
            secret.write_text("0" * 64)
            secret.chmod(0o440)
            os.symlink("..data/orders-2026-11", pathlib.Path(folder) / "orders-2026-11")
            line = [
                re.sub(r"\[::\]:(\d+)", lambda found: f"127.0.0.1:{ports[found[1]]}", arg).replace(
                    "/etc/keyferry/verify", folder
                )
                for arg in container["args"]
            ]
            program = subprocess.Popen([KEYFERRY, *line], stderr=subprocess.DEVNULL)
            try:
                self.assertEqual(self.ask(ports["9091"], container["readinessProbe"]["httpGet"]["path"]), 200)
                self.assertEqual(self.ask(ports["8081"], "/v1/orders"), 401)
                # No backend is there.
                self.assertEqual(self.ask(ports["8081"], "/healthz"), 502)
            finally:
                program.terminate()
                self.assertEqual(program.wait(timeout=30), 0)

    @staticmethod
    def ask(port, path):
        for _ in range(300):
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).status
            except urllib.error.HTTPError as error:
                return error.code
            except OSError:
                time.sleep(0.1)
        raise TimeoutError(path)
