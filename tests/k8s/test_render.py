"""Every overlay and component under k8s/ renders, and uses every file that it has."""

import pathlib
import tempfile
import unittest

import manifests
import yaml


class Render(unittest.TestCase):
    def test_every_overlay_and_component_renders(self):
        made = manifests.all_of_them()
        self.assertLessEqual({"overlays/dev", "overlays/prod", "components/monitoring"}, made.keys())
        for name, resources in made.items():
            self.assertIsNotNone(manifests.find(resources, "Deployment"), name)

    def test_what_does_not_render_is_told(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "kustomization.yaml").write_text("resources: [missing.yaml]\n")
            with self.assertRaisesRegex(ValueError, "missing.yaml"):
                manifests.kustomize(folder)

    def test_no_manifest_is_left_out(self):
        def left_out(folder):
            kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
            patches = [patch.get("path") for patch in kustomization.get("patches", [])]
            named = {*kustomization["resources"], *patches, "kustomization.yaml"}
            return {path.name for path in folder.glob("*.yaml")} - named

        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "kustomization.yaml").write_text("resources: []\n")
            (folder / "forgotten.yaml").write_text("")
            self.assertEqual(left_out(folder), {"forgotten.yaml"})
        for kustomization in (manifests.ROOT / "k8s").rglob("kustomization.yaml"):
            self.assertEqual(left_out(kustomization.parent), set(), kustomization.parent)
