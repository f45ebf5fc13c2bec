"""The pods ask for no more than the restricted profile of Kubernetes gives, and for less where they can do without.

The profile's rules are those of its page, Pod Security Standards; no tool that checks them offline comes from a registry
at a reasonable size. Each rule stands with what breaks it, and has to notice that.
"""

import unittest

import manifests

POD = "spec.template.spec"
ONE = f"{POD}.containers.0"
# The kinds of volumes that the restricted profile knows.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def containers(pod):
    for part in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod.get(part, [])


def every(holds):
    """A rule that every container of a pod keeps."""
    return lambda pod: all(holds(container, pod) for container in containers(pod))


def security(container, pod, setting):
    """What counts for the container: its own word, or else the pod's."""
    own = container.get("securityContext", {})
    return own.get(setting, pod.get("securityContext", {}).get(setting))


def rule_volumes(pod):
    return all(set(volume) - {"name"} <= VOLUMES for volume in pod.get("volumes", []))


def calls_nobody_else(container, _):
    probes = [probe for name, probe in container.items() if name.endswith("Probe")]
    calls = [probe.get(by, {}) for probe in probes for by in ("httpGet", "tcpSocket")]
    return "lifecycle" not in container and not any("host" in call for call in calls)


def bounded(container, _):
    resources = container.get("resources", {})
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    memory = requests.get("memory")
    return memory is not None and memory == limits.get("memory") and "cpu" in requests and "cpu" not in limits


def whole_volumes(container, _):
    return not any("subPath" in mount or "subPathExpr" in mount for mount in container.get("volumeMounts", []))


def no_secret_in_the_environment(container, _):
    sources = [source.get("valueFrom", {}) for source in container.get("env", [])] + container.get("envFrom", [])
    return not any("secretKeyRef" in source or "secretRef" in source for source in sources)


def secrets_are_read_by_the_group(pod):
    modes = [volume["secret"].get("defaultMode") for volume in pod["volumes"] if "secret" in volume]
    return set(modes) <= {0o440} and pod["securityContext"].get("fsGroup") is not None


# Name: (what holds of a pod, where and with what it is broken).
RULES = {
    # The restricted profile, with the baseline in it.
    "no namespace of the host": (
        lambda pod: not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")),
        (f"{POD}.hostNetwork", True),
    ),
    "not privileged": (
        every(lambda one, pod: not security(one, pod, "privileged")),
        (f"{ONE}.securityContext.privileged", True),
    ),
    "no port of the host": (
        every(lambda one, _: not any("hostPort" in port for port in one.get("ports", []))),
        (f"{ONE}.ports.0.hostPort", 443),
    ),
    "volumes of the known kinds": (rule_volumes, (f"{POD}.volumes.0", {"name": "x", "hostPath": {"path": "/"}})),
    "no more privileges than at the start": (
        every(lambda one, pod: security(one, pod, "allowPrivilegeEscalation") is False),
        (f"{ONE}.securityContext.allowPrivilegeEscalation", None),
    ),
    "not root": (
        every(lambda one, pod: security(one, pod, "runAsNonRoot") is True),
        (f"{POD}.securityContext.runAsNonRoot", None),
    ),
    "a user that is not root": (
        every(lambda one, pod: security(one, pod, "runAsUser") not in (None, 0)),
        (f"{POD}.securityContext.runAsUser", 0),
    ),
    "the usual filter of system calls": (
        every(lambda one, pod: (security(one, pod, "seccompProfile") or {}).get("type") == "RuntimeDefault"),
        (f"{POD}.securityContext.seccompProfile.type", "Unconfined"),
    ),
    "no capabilities": (
        every(lambda one, _: one["securityContext"].get("capabilities") == {"drop": ["ALL"]}),
        (f"{ONE}.securityContext.capabilities.add", ["NET_BIND_SERVICE"]),
    ),
    "the usual view of /proc": (
        every(lambda one, pod: security(one, pod, "procMount") in (None, "Default")),
        (f"{ONE}.securityContext.procMount", "Unmasked"),
    ),
    "no label of SELinux, no profile of AppArmor, no kernel setting": (
        lambda pod: not {"seLinuxOptions", "appArmorProfile", "sysctls"} & set(pod["securityContext"]),
        (f"{POD}.securityContext.sysctls", [{"name": "kernel.shm_rmid_forced", "value": "0"}]),
    ),
    "no hook and no probe that calls elsewhere": (
        every(calls_nobody_else),
        (f"{ONE}.livenessProbe.httpGet.host", "192.0.2.1"),
    ),
    # What we ask for beyond it.
    "nothing is written into the image": (
        every(lambda one, pod: security(one, pod, "readOnlyRootFilesystem") is True),
        (f"{ONE}.securityContext.readOnlyRootFilesystem", False),
    ),
    "no token of the API": (
        lambda pod: pod.get("automountServiceAccountToken") is False,
        (f"{POD}.automountServiceAccountToken", None),
    ),
    "no addresses of Services in the environment": (
        lambda pod: pod.get("enableServiceLinks") is False,
        (f"{POD}.enableServiceLinks", None),
    ),
    "memory is bounded by what is asked for, and CPU is not": (every(bounded), (f"{ONE}.resources.limits.cpu", "1")),
    "secrets rotate: volumes are mounted whole": (
        every(whole_volumes),
        (f"{ONE}.volumeMounts.0.subPath", "redis.password"),
    ),
    "secrets rotate: none is in the environment": (
        every(no_secret_in_the_environment),
        (f"{ONE}.env", [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "x", "key": "x"}}}]),
    ),
    "secrets are read by the pod's group alone": (
        secrets_are_read_by_the_group,
        (f"{POD}.securityContext.fsGroup", None),
    ),
    "an image of one version": (
        every(lambda one, _: ":" in one["image"].rsplit("/")[-1] and not one["image"].endswith(":latest")),
        (f"{ONE}.image", "keyferry:latest"),
    ),
}


class Restricted(unittest.TestCase):
    def test_every_pod_keeps_every_rule(self):
        for name, resources in manifests.all_of_them().items():
            for workload, _, pod in manifests.pods(resources):
                for rule, (holds, _) in RULES.items():
                    self.assertTrue(holds(pod), f"{name}: {workload}: {rule}")

    def test_every_rule_notices_what_breaks_it(self):
        for name in ("overlays/prod", "overlays/dev"):
            resources = manifests.all_of_them()[name]
            for rule, (holds, (path, value)) in RULES.items():
                altered = manifests.broken(resources, "Deployment", path, value)
                pods = {workload: pod for workload, _, pod in manifests.pods(altered)}
                self.assertFalse(holds(pods["keyferry"]), f"{name}: {rule}")

    def test_the_namespace_admits_no_others(self):
        for resources in manifests.all_of_them().values():
            labels = manifests.find(resources, "Namespace")["metadata"]["labels"]
            self.assertEqual(labels["pod-security.kubernetes.io/enforce"], "restricted")
