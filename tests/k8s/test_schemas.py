"""Every manifest is what the API of Kubernetes and the owners of custom resources take, without a field too many."""

import json
import subprocess
import unittest

import kubernetes_validate
import manifests

# Their kinds come with the cluster; all others are custom resources.
BUILT_IN = {"v1", "apps/v1", "autoscaling/v2", "networking.k8s.io/v1", "policy/v1"}


def wrong_built_in(resource):
    try:
        kubernetes_validate.validate(resource, "1.37.0", strict=True)
        return []
    except kubernetes_validate.ValidationError as error:
        return [error.message]


def wrong_custom(resources):
    modules = manifests.ROOT / "target/node/node_modules"
    script = manifests.ROOT / "tests/k8s/crds.mjs"
    done = subprocess.run(
        ["node", script, modules.resolve()], input=json.dumps(resources), capture_output=True, text=True
    )
    if done.returncode != 0:
        raise ValueError(done.stderr)
    return json.loads(done.stdout)


def wrong(resources):
    """What is wrong with each, in their order."""
    custom = [one for one in resources if one["apiVersion"] not in BUILT_IN]
    answers = iter(wrong_custom(custom) if custom else [])
    return [
        wrong_built_in(one) if one["apiVersion"] in BUILT_IN else next(answers) for one in resources
    ]


class Schemas(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        every = (one for made in manifests.all_of_them().values() for one in made)
        cls.resources = list({json.dumps(one): one for one in every}.values())

    def test_every_manifest_fits_its_schema(self):
        for resource, answer in zip(self.resources, wrong(self.resources), strict=True):
            self.assertEqual(answer, [], f"{resource['kind']} {resource['metadata']['name']}")

    def test_every_kind_is_held_against_its_schema(self):
        """Controls: for each kind, a field that it does not have, and values that do not fit."""
        one_of_each = {one["kind"]: one for one in self.resources}
        nonsense = []
        for kind, resource in one_of_each.items():
            inner = next((part for part in ("spec", "data") if part in resource), None)
            if inner == "spec" or kind == "ServiceAccount":
                altered = json.loads(json.dumps(resource))
                (altered["spec"] if inner else altered)["nonsense"] = True
                nonsense.append(altered)
        self.assertGreaterEqual(len(nonsense), 10)
        for resource, answer in zip(nonsense, wrong(nonsense), strict=True):
            self.assertTrue(any("nonsense" in one for one in answer), resource["kind"])

    def test_values_that_do_not_fit_are_told(self):
        for kind, name, path, value in [
            ("Deployment", "keyferry", "spec.template.spec.containers.0.ports.0.containerPort", "8443"),
            ("Deployment", "keyferry", "spec.selector", None),
            ("PodMonitor", "keyferry", "spec.podMetricsEndpoints.0.interval", "15 seconds"),
            ("Certificate", "keyferry-tls", "spec.privateKey.algorithm", "DSA"),
            ("ExternalSecret", "keyferry-secrets", "spec.data.0.remoteRef.key", 5),
            ("Gateway", "keyferry", "spec.listeners.0.tls.mode", "passthrough"),
            ("TLSRoute", "keyferry", "spec.rules", None),
        ]:
            altered = manifests.broken(self.resources, kind, path, value, name)
            answers = wrong([manifests.find(altered, kind, name)])
            self.assertNotEqual(answers, [[]], f"{kind} {path}")

    def test_what_has_no_schema_is_told(self):
        with self.assertRaisesRegex(ValueError, "no schema for example.com/v1 Thing"):
            wrong([{"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}}])
