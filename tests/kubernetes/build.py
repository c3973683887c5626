"""Builds Kubernetes and Envoy Gateway for tests and prints their directory: `python tests/kubernetes/build.py`.

Each is built once, from the module in tools/, into the user's cache (tests/support/go_module.py).  What a directory
KUBEBUILDER_ASSETS has of them, as setup-envtest makes it, is taken from there.  Needs Go; some 7 minutes of two
processors and 2 GB of memory.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.go_module import LEAN, GoModule, has_go

COMMANDS = "k8s.io/kubernetes/cmd"
ENVOY_GATEWAY = "github.com/envoyproxy/gateway"
PROGRAMS = {
    "etcd": "./etcd",
    **{name: f"{COMMANDS}/{name}" for name in ("kube-apiserver", "kube-controller-manager", "kubectl")},
    "envoy-gateway": f"{ENVOY_GATEWAY}/cmd/envoy-gateway",
}
"""Name -> package, in the order of building."""
CRDS = "charts/gateway-helm/charts/crds/crds"
"""The kinds of Envoy Gateway and those of the Gateway API, in its module."""
EXTENSION, EXTENSION_CRDS = "sigs.k8s.io/gateway-api-inference-extension@v1.3.0", "config/crd/bases"
"""The module with the kinds of Gateway API Inference Extension, and where it has them."""
KUBERNETES = "v1.36.3"
"""The version in go.mod, which the programs do not know by themselves."""

_MAJOR, _MINOR = KUBERNETES[1:].split(".")[:2]
_VERSION = {"gitVersion": KUBERNETES, "gitMajor": _MAJOR, "gitMinor": _MINOR}
_STAMP = " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in _VERSION.items())
MODULE = GoModule("kubernetes", Path(__file__).resolve().parent / "tools", (*LEAN, "-ldflags", f"-s -w {_STAMP}"))


def inputs(assets: Path | None) -> Iterator[bytes]:
    """Yield all that the programs depend on: those in `assets` as they are, others by what they are built of."""
    yield from MODULE.inputs()
    for program in found(assets):
        yield f"{program} {program.stat().st_mtime_ns}".encode()


def found(assets: Path | None) -> list[Path]:
    """Return the programs that `assets` has."""
    return [assets / name for name in PROGRAMS if (assets / name).exists()] if assets else []


def copy_kinds(directory: Path, name: str, manifests: Path) -> None:
    """Copy manifests of kinds into the directory of that name, unless it is there."""
    if (directory / name).exists():
        return
    with tempfile.TemporaryDirectory(dir=directory) as scratch, contextlib.suppress(OSError):  # others were faster
        made = Path(scratch) / name
        made.mkdir()
        for path in manifests.rglob("*.yaml"):
            shutil.copyfile(path, made / path.name)
        made.rename(directory / name)


def main() -> None:
    """Print the directory of the programs: links to those that there are already, and the others built."""
    assets = Path(os.environ["KUBEBUILDER_ASSETS"]).resolve() if os.environ.get("KUBEBUILDER_ASSETS") else None
    directory = MODULE.cache(inputs(assets))
    for program in found(assets):
        with contextlib.suppress(FileExistsError):
            (directory / program.name).symlink_to(program)
    missing = [name for name in PROGRAMS if not (directory / name).exists()]
    if missing and not has_go():
        sys.exit(f"make: needs Go, to build {', '.join(missing)}, or KUBEBUILDER_ASSETS with them")
    try:
        for name in missing:
            MODULE.build(name, PROGRAMS[name], directory)
        if has_go():
            copy_kinds(directory, "crds", Path(MODULE.go("list", "-m", "-f", "{{.Dir}}", ENVOY_GATEWAY).strip()) / CRDS)
            module = json.loads(MODULE.go("mod", "download", "-json", EXTENSION))["Dir"]
            copy_kinds(directory, "inference-crds", Path(module) / EXTENSION_CRDS)
    except subprocess.CalledProcessError as error:
        sys.exit(f"make: {' '.join(error.cmd)} failed with status {error.returncode}")
    sys.stdout.write(f"{directory}\n")


if __name__ == "__main__":
    main()
