"""What kubectl makes of the overlays and components under k8s/, and how the checks break it on purpose."""

import copy
import functools
import json
import pathlib
import re
import subprocess
import sys
import tomllib

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ROOT / "target/venv/bin"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job")


def kustomize(folder):
    """The manifests of a folder with a kustomization; its errors as an exception."""
    done = subprocess.run(
        [TOOLS / "kubectl", "kustomize", folder], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise ValueError(done.stderr)
    return [made for made in yaml.safe_load_all(done.stdout) if made]


def folders(kind):
    return sorted(path.parent for path in (ROOT / "k8s" / kind).glob("*/kustomization.yaml"))


def on_the_base(component):
    """A folder in which this component alone is added to the base."""
    folder = ROOT / "target/k8s" / component.name
    folder.mkdir(parents=True, exist_ok=True)
    up = "../../../k8s"
    kustomization = {"resources": [f"{up}/base"], "components": [f"{up}/components/{component.name}"]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return folder


@functools.cache
def all_of_them():
    """Every overlay, and every component on the base, by its name."""
    every = [*folders("overlays"), *folders("components")]
    return {f"{folder.parent.name}/{folder.name}": render(folder) for folder in every}


def render(folder):
    """An overlay, or a component alone on the base."""
    return kustomize(on_the_base(folder) if folder.parent.name == "components" else folder)


def find(manifests, kind, name="keyferry"):
    """The one of this kind and name; None where there is none."""
    found = [one for one in manifests if one["kind"] == kind and one["metadata"]["name"] == name]
    return found[0] if found else None


def at(value, path):
    """What stands at `spec.ports.0.name`; None where nothing does."""
    for step in path.split("."):
        try:
            value = value[int(step) if isinstance(value, list) else step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def broken(manifests, kind, path, value, name="keyferry"):
    """The same with another value at `path`; with None, without it."""
    manifests = copy.deepcopy(manifests)
    *around, last = path.split(".")
    inner = at(find(manifests, kind, name), ".".join(around)) if around else find(manifests, kind, name)
    last = int(last) if isinstance(inner, list) else last
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return manifests


def pods(manifests):
    """The pods of all workloads: (name, metadata, spec)."""
    for one in manifests:
        if one["kind"] in WORKLOADS:
            template = one["spec"]["template"]
            yield one["metadata"]["name"], template["metadata"], template["spec"]


def configuration(manifests):
    """The gateway's configuration, with the defaults where it says nothing about its end."""
    given = tomllib.loads(find(manifests, "ConfigMap", "keyferry-config")["data"]["keyferry.toml"])
    reference = tomllib.loads((ROOT / "conf/keyferry.toml").read_text())
    return {"shutdown": reference["shutdown"], **given}


def files(value):
    """Every file that the configuration names."""
    if isinstance(value, str):
        return {value} if re.match(r"/(etc|var)/", value) else set()
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return {file for one in inner for file in files(one)}


def seconds(period):
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    unit = period.lstrip("0123456789")
    return int(period.removesuffix(unit)) * units[unit]


if __name__ == "__main__":
    # For tests in other languages: an overlay or component by its name, as JSON.
    print(json.dumps(render(ROOT / "k8s" / sys.argv[1])))
