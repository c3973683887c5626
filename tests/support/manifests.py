"""The manifests of deploy/ and samples/ as objects: rendered by kubectl where there is one, else as they are written.

Lives here: finding kubectl, reading, adding components.  Not here: what must hold of them (tests/deploy,
tests/samples), a real server (tests/kubernetes).
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.source_tree import ROOT

Json = dict[str, Any]
OVERLAYS = ROOT / "deploy" / "overlays"
COMPONENTS = ROOT / "deploy" / "components"


def kubectl() -> str | None:
    """The kubectl that `make test-kubernetes` built, or the machine's."""
    built = Path(os.environ.get("FOREBAY_KUBERNETES", ""), "kubectl")
    return str(built) if built.is_file() else shutil.which("kubectl")


@cache
def rendered(folder: Path) -> tuple[Json, ...]:
    """The objects of a folder with a kustomization, as `kubectl apply -k` sends them; needs kubectl."""
    program = kubectl()
    assert program is not None
    done = subprocess.run([program, "kustomize", folder], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def written(folder: Path) -> Iterator[Json]:
    """The objects that a folder's kustomization names, before anything is changed in them."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    for name in [*kustomization.get("resources", []), *kustomization.get("components", [])]:
        if "://" in name:
            continue
        path = (folder / name).resolve()
        yield from written(path) if path.is_dir() else yaml.safe_load_all(path.read_text())


def objects(folder: Path) -> tuple[Json, ...]:
    """The objects of a folder, rendered where that is possible."""
    return rendered(folder) if kubectl() else tuple(written(folder))


def with_components(folder: Path, overlay: Path, *names: str) -> Path:
    """Write an overlay with components more, and return its folder."""
    parts = {"resources": [overlay], "components": [COMPONENTS / name for name in names]}
    relative = {kind: [os.path.relpath(path, folder) for path in paths] for kind, paths in parts.items()}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(relative))
    return folder


def named(found: tuple[Json, ...], kind: str, name: str) -> Json:
    """The one object of that kind and name."""
    [one] = [each for each in found if each["kind"] == kind and each["metadata"]["name"] == name]
    return one


def containers(workload: Json) -> list[Json]:
    """The containers of a Deployment, those that run first included."""
    spec = workload["spec"]["template"]["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]
