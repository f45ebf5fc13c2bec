"""The volumes of a rendered Deployment as files, with secrets that are made for the occasion.

What a manifest holds is taken from it; what a cluster would bring (certificates, secrets) is made with openssl, unless
it is there already. Each volume lies as a kubelet lays it: files behind `..data`, which can be swapped at once.

Called with a file of manifests (JSON), the folder for the volumes, and one where what is made is kept for the next pod.
"""

import base64
import json
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


def make(kind, names, folder):
    """What a cluster would bring: a server's certificate, secrets, or authorities."""
    if names == ["tls.crt", "tls.key"]:
        return dict(zip(names, certificate(folder, "api.example.com"), strict=True))
    if kind == "Secret":
        return {name: f"{secrets.token_hex(32)}\n".encode() for name in names}
    return {name: certificate(folder, f"{name}.example")[0] for name in names}


def kept(kind, names, folder):
    """The same, as it is in the folder already, or from now on."""
    missing = [name for name in names if not (folder / name).exists()]
    for name, text in make(kind, missing, folder).items():
        (folder / name).write_bytes(text)
    return {name: (folder / name).read_bytes() for name in names}


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
        else:
            yield place, kept(kind, here, folder)


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


def lay(resources, root, folder, in_place=False):
    """Lays every volume of the gateway below `root`; what is made for them is kept in `folder`.

    The configuration names the files where they are, or, `in_place`, where they are once `root` is the root.
    """
    laid = dict(contents(resources, pathlib.Path(folder)))
    for place, files in laid.items():
        if "keyferry.toml" in files and not in_place:
            config = files["keyferry.toml"].decode()
            files["keyferry.toml"] = moved(config, root, laid).encode()
        mount(root, place, files)


if __name__ == "__main__":
    rendered, root, folder = sys.argv[1:]
    lay(json.loads(pathlib.Path(rendered).read_text()), root, folder)
