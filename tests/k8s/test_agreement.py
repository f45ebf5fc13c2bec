"""The manifests agree with the configuration that they mount, with the image, and with each other.

Each check gives what does not agree, and stands with what it has to notice.
"""

import re
import tomllib
import unittest

import manifests
from manifests import at, find

POD = "spec.template.spec"
NAMESPACE = "kubernetes.io/metadata.name"


def gateway(resources):
    return find(resources, "Deployment")["spec"]["template"]["spec"]


def the_grace_period(resources):
    shutdown = manifests.configuration(resources)["shutdown"]
    steps = manifests.seconds(shutdown["lame_duck"]) + 1 + manifests.seconds(shutdown["drain_timeout"]) + 10
    if gateway(resources)["terminationGracePeriodSeconds"] < steps:
        yield f"the pod is killed before {steps} s, which its steps may take"


def the_lame_duck(resources):
    duck = manifests.seconds(manifests.configuration(resources)["shutdown"]["lame_duck"])
    probe = gateway(resources)["containers"][0]["readinessProbe"]
    # The first of the probes that fail may come at once.
    if probe["periodSeconds"] * (probe["failureThreshold"] - 1) < duck:
        yield "a pod that ends counts as unready before its lame duck is over, and the last on a node is called no more"


def the_ports(resources):
    config = manifests.configuration(resources)
    listens = {name: int(config[table]["address"].rsplit(":")[-1])
               for name, table in (("https", "listener"), ("telemetry", "telemetry"))}
    ports = {port["name"]: port["containerPort"] for port in gateway(resources)["containers"][0]["ports"]}
    if ports != listens:
        yield f"the container names {ports}, and the gateway listens at {listens}"
    for table in ("listener", "telemetry"):
        if not config[table]["address"].startswith("[::]:"):
            yield f"{table} does not listen at every address"
    called = [port["targetPort"] for port in find(resources, "Service")["spec"]["ports"]]
    if called != ["https"]:
        yield f"the Service leads to {called}"
    probes = [probe for name, probe in gateway(resources)["containers"][0].items() if name.endswith("Probe")]
    if [probe["httpGet"]["port"] for probe in probes] != ["telemetry"] * 3:
        yield "a probe asks elsewhere than at telemetry"
    if "admin" in config and not config["admin"]["address"].startswith("127."):
        yield "the admin listener is open"


def the_mounts(resources):
    """What the configuration names lies in a volume, and comes from where it is rendered."""
    pod = gateway(resources)
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    external = find(resources, "ExternalSecret", "keyferry-secrets")
    config = manifests.configuration(resources)
    config_file = pod["containers"][0]["env"][0]["value"]
    for file in manifests.files(config) | {config_file}:
        folder, name = file.rsplit("/", 1)
        volume = volumes.get(mounts.get(folder))
        if volume is None:
            yield f"{file} lies in no volume"
        elif at(volume, "secret.secretName") == "keyferry-secrets" and external:
            if name not in [data["secretKey"] for data in external["spec"]["data"]]:
                yield f"no ExternalSecret brings {name}"
        elif at(volume, "secret.secretName") == "keyferry-tls" and name not in ("tls.crt", "tls.key"):
            yield f"no certificate has a file {name}"
        elif at(volume, "configMap.name") == "keyferry-config":
            if name not in find(resources, "ConfigMap", "keyferry-config")["data"]:
                yield f"the configuration has no {name}"
    for kind, name, field in (
        ("ExternalSecret", "keyferry-secrets", "spec.target.name"),
        ("Certificate", "keyferry-tls", "spec.secretName"),
    ):
        one = find(resources, kind, name)
        if one and at(one, field) not in [at(volume, "secret.secretName") for volume in volumes.values()]:
            yield f"nobody mounts what {kind} {name} makes"


def places(config):
    """The namespace and port of every backend that is a Service."""
    for backend in config["backend"]:
        for address in backend["addresses"]:
            host, port = address.rsplit(":", 1)
            yield backend, host.split(".")[1], int(port)


def the_way_to_the_backends(resources):
    allowed = set()
    for rule in find(resources, "NetworkPolicy")["spec"]["egress"]:
        for peer in rule["to"]:
            namespace = at(peer, "namespaceSelector.matchLabels") or {}
            allowed |= {(namespace.get(NAMESPACE), port["port"]) for port in rule["ports"]}
    locked = {
        one["metadata"]["namespace"] for one in resources if one["metadata"]["name"] == "only-from-keyferry"
    }
    for backend, namespace, port in places(manifests.configuration(resources)):
        if (namespace, port) not in allowed:
            yield f"the gateway may not call {backend['name']}"
        if locked and namespace not in locked:
            yield f"{backend['name']} can be reached past the gateway"


def the_lockdown(resources):
    for policy in resources:
        if policy["metadata"]["name"] != "only-from-keyferry":
            continue
        peers = [peer for rule in policy["spec"]["ingress"] for peer in rule["from"]]
        if [set(peer) for peer in peers] != [{"namespaceSelector", "podSelector"}]:
            yield f"{policy['metadata']['namespace']}: namespace and pod are not asked for together"
        elif peers[0]["namespaceSelector"]["matchLabels"] != {NAMESPACE: "keyferry"}:
            yield f"{policy['metadata']['namespace']}: another namespace is let in"
        elif not selects(peers[0]["podSelector"], find(resources, "Deployment")):
            yield f"{policy['metadata']['namespace']}: the gateway is not let in"
        if policy["spec"]["podSelector"] != {}:
            yield f"{policy['metadata']['namespace']}: some pods stay open"


def selects(selector, workload):
    labels = workload["spec"]["template"]["metadata"]["labels"]
    return selector["matchLabels"].items() <= labels.items()


def the_selectors(resources):
    deployment = find(resources, "Deployment")
    for kind, path in (
        ("Deployment", "spec.selector"),
        ("PodDisruptionBudget", "spec.selector"),
        ("NetworkPolicy", "spec.podSelector"),
        ("PodMonitor", "spec.selector"),
        ("Deployment", f"{POD}.topologySpreadConstraints.0.labelSelector"),
        ("Deployment", f"{POD}.topologySpreadConstraints.1.labelSelector"),
    ):
        one = find(resources, kind)
        if one and not selects(at(one, path), deployment):
            yield f"{kind} {path} selects other pods"
    if not selects({"matchLabels": find(resources, "Service")["spec"]["selector"]}, deployment):
        yield "the Service selects other pods"
    scaler = find(resources, "HorizontalPodAutoscaler")
    if scaler and "replicas" in deployment["spec"]:
        yield "each apply would undo what the autoscaler decided"
    if scaler and scaler["spec"]["minReplicas"] < 2:
        yield "one gateway is none while it restarts"
    monitor = find(resources, "PodMonitor")
    names = [port["name"] for port in gateway(resources)["containers"][0]["ports"]]
    if monitor and monitor["spec"]["podMetricsEndpoints"][0]["port"] not in names:
        yield "Prometheus asks at a port that no gateway has"


def the_way_in(resources):
    """By Gateway API, TLS is passed on to a port that the Service has, for a name that the certificate is for."""
    route, entry = find(resources, "TLSRoute"), find(resources, "Gateway")
    if route is None:
        return
    if [at(listener, "tls.mode") for listener in entry["spec"]["listeners"]] != ["Passthrough"]:
        yield "TLS ends before the gateway"
    ports = [port["port"] for port in find(resources, "Service")["spec"]["ports"]]
    if [backend["port"] for backend in route["spec"]["rules"][0]["backendRefs"]] != ports:
        yield "the route leads to another port"


def the_image(resources):
    version = tomllib.loads((manifests.ROOT / "Cargo.toml").read_text())["package"]["version"]
    image = gateway(resources)["containers"][0]["image"]
    if not image.endswith(f"keyferry:{version}"):
        yield f"{image} is not of version {version}"


def the_rights_in_redis(resources):
    """Nothing else than docs/STORE.md says."""
    redis = find(resources, "Deployment", "redis")
    page = (manifests.ROOT / "docs/STORE.md").read_text()
    (rights,) = re.findall(r"^ACL SETUSER keyferry on >PASSWORD (~.*)$", page, re.MULTILINE)
    if redis and f"'{rights}'" not in redis["spec"]["template"]["spec"]["containers"][0]["args"][0]:
        yield "the gateway's user may something else than docs/STORE.md says"


# Each check, and what it has to notice: in these manifests, this kind's value at a path becomes another.
CHECKS = [
    (the_grace_period, "overlays/prod", "Deployment", f"{POD}.terminationGracePeriodSeconds", 40),
    (the_lame_duck, "overlays/prod", "Deployment", f"{POD}.containers.0.readinessProbe.failureThreshold", 4),
    (the_ports, "overlays/prod", "Deployment", f"{POD}.containers.0.ports.0.containerPort", 443),
    (the_ports, "overlays/prod", "Service", "spec.ports.0.targetPort", "telemetry"),
    (the_mounts, "overlays/prod", "Deployment", f"{POD}.containers.0.volumeMounts.1.mountPath", "/etc/keyferry/TLS"),
    (the_mounts, "overlays/prod", "ExternalSecret keyferry-secrets", "spec.data.0", None),
    (the_mounts, "overlays/prod", "Certificate keyferry-tls", "spec.secretName", "other"),
    (the_way_to_the_backends, "overlays/prod", "NetworkPolicy", "spec.egress.2.ports.0", None),
    (the_way_to_the_backends, "overlays/prod", "NetworkPolicy only-from-keyferry", "metadata.namespace", "other"),
    (the_lockdown, "overlays/prod", "NetworkPolicy only-from-keyferry", "spec.ingress.0.from.0.podSelector", None),
    (the_selectors, "overlays/prod", "PodDisruptionBudget", "spec.selector.matchLabels", {"app": "other"}),
    (the_selectors, "overlays/prod", "Service", "spec.selector", {"app": "other"}),
    (the_selectors, "overlays/prod", "Deployment", "spec.replicas", 3),
    (the_selectors, "overlays/prod", "PodMonitor", "spec.podMetricsEndpoints.0.port", "metrics"),
    (the_way_in, "components/gateway-api", "Gateway", "spec.listeners.0.tls.mode", "Terminate"),
    (the_way_in, "components/gateway-api", "TLSRoute", "spec.rules.0.backendRefs.0.port", 8443),
    (the_image, "overlays/prod", "Deployment", f"{POD}.containers.0.image", "keyferry:0.0.9"),
    (the_rights_in_redis, "overlays/dev", "Deployment redis", f"{POD}.containers.0.args.0", "exec redis-server"),
]


class Agreement(unittest.TestCase):
    def test_everything_agrees(self):
        for name, resources in manifests.all_of_them().items():
            for check in dict.fromkeys(check for check, *_ in CHECKS):
                self.assertEqual(list(check(resources)), [], f"{name}: {check.__name__}")

    def test_every_check_notices_what_does_not_agree(self):
        for check, name, what, path, value in CHECKS:
            kind, _, called = what.partition(" ")
            resources = manifests.all_of_them()[name]
            altered = manifests.broken(resources, kind, path, value, called or "keyferry")
            self.assertNotEqual(list(check(altered)), [], f"{check.__name__}: {what} {path}")
