"""The volumes of a rendered Deployment as files, with secrets that are made for the occasion.

What a manifest holds is taken from it; what a cluster would bring (certificates, secrets) is made with openssl. Each
volume lies as a kubelet lays it: files behind `..data`, which can be swapped at once.
"""

import base64
import pathlib
import secrets
import subprocess
import sys

import manifests
from manifests import at, find


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def certificate(folder, subject):
    """A certificate that signed itself, and its key, in PEM."""
    key, pem = folder / "x.key", folder / "x.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", f"/CN={subject}", "-addext", f"subjectAltName=DNS:{subject}", "-keyout", key, "-out", pem)
    return pem.read_bytes(), key.read_bytes()


def brought(manifest):
    """What a Secret or a ConfigMap holds."""
    held = {name: text.encode() for name, text in (manifest.get("stringData") or {}).items()}
    for name, text in (manifest.get("data") or {}).items():
        held[name] = base64.b64decode(text) if manifest["kind"] == "Secret" else text.encode()
    return held


def contents(resources, folder):
    """The files of every volume of the gateway, by its place in the container; what nobody brings is made here."""
    pod = find(resources, "Deployment")["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    wanted = manifests.files(manifests.configuration(resources))
    for mount in pod["containers"][0]["volumeMounts"]:
        volume, place = volumes[mount["name"]], mount["mountPath"]
        kind, name = "Secret", at(volume, "secret.secretName")
        if name is None:
            kind, name = "ConfigMap", at(volume, "configMap.name")
        here = sorted(file.rsplit("/", 1)[1] for file in wanted if file.rsplit("/", 1)[0] == place)
        rendered = name and find(resources, kind, name)
        if rendered:
            yield place, brought(rendered)
        elif name is None:
            yield place, {}
        elif here == ["tls.crt", "tls.key"]:
            yield place, dict(zip(here, certificate(folder, "api.example.com"), strict=True))
        elif kind == "Secret":
            yield place, {file: f"{secrets.token_hex(32)}\n".encode() for file in here}
        else:
            yield place, {file: certificate(folder, f"{file}.example")[0] for file in here}


def mount(root, place, files):
    """Lays a volume below `root` as a kubelet does."""
    folder = pathlib.Path(f"{root}{place}")
    folder.mkdir(parents=True, exist_ok=True)
    if not files:
        return
    (folder / "..0").mkdir()
    (folder / "..data").symlink_to("..0")
    for name, text in files.items():
        (folder / "..0" / name).write_bytes(text)
        (folder / "..0" / name).chmod(0o440)
        (folder / name).symlink_to(f"..data/{name}")


def moved(text, root, places):
    """The same with the places of the container below `root`."""
    for place in places:
        text = text.replace(f'"{place}/', f'"{root}{place}/')
    return text


def lay(resources, root):
    """Lays every volume of the gateway below `root`; gives where each is in the container."""
    root = pathlib.Path(root)
    laid = dict(contents(resources, root))
    for place, files in laid.items():
        if "keyferry.toml" in files:
            config = files["keyferry.toml"].decode()
            files["keyferry.toml"] = moved(config, root, laid).encode()
        mount(root, place, files)
    for left in root.glob("x.*"):
        left.unlink()
    return sorted(laid)


if __name__ == "__main__":
    overlay, root = sys.argv[1:]
    lay(manifests.kustomize(manifests.ROOT / overlay), root)
