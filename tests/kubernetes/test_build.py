"""The build of Kubernetes' programs, without Go: what is there is taken, what is missing is named."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.source_tree import ROOT

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "envoy-gateway")


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    folder = tmp_path / "assets"
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).write_text("a program")
    return folder


def build(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the build in an environment in which there is no Go."""
    home = {"PATH": str(folder / "empty"), "HOME": str(folder / "home")}
    command = [sys.executable, ROOT / "tests/kubernetes/build.py"]
    return subprocess.run(command, env=home | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("variable", "inside"), [("", "home/.cache/forebay"), ("XDG_CACHE_HOME", "c/forebay"), ("FOREBAY_CACHE", "c")]
)
def test_programs_that_are_there_are_linked_in_the_cache(tmp_path: Path, assets: Path, variable: str, inside: str):
    where = {variable: str(tmp_path / "c")} if variable else {}

    runs = [build(tmp_path, KUBEBUILDER_ASSETS=str(assets), **where) for _ in range(2)]

    assert [0, 0] == [run.returncode for run in runs]
    assert runs[0].stdout == runs[1].stdout
    directory = Path(runs[0].stdout.strip())
    assert tmp_path / inside / "kubernetes" == directory.parent
    assert {name: assets / name for name in PROGRAMS} == {path.name: path.readlink() for path in directory.iterdir()}


def test_what_is_missing_is_named_where_there_is_no_go(tmp_path: Path, assets: Path):
    (assets / "kube-controller-manager").unlink()

    some, none = build(tmp_path, KUBEBUILDER_ASSETS=str(assets)), build(tmp_path)

    assert (1, 1) == (some.returncode, none.returncode)
    assert "make: needs Go, to build kube-controller-manager, or KUBEBUILDER_ASSETS with them\n" == some.stderr
    assert f"needs Go, to build {', '.join(PROGRAMS)}" in none.stderr


def test_other_programs_have_another_place(tmp_path: Path, assets: Path):
    before = build(tmp_path, KUBEBUILDER_ASSETS=str(assets)).stdout
    (assets / "etcd").unlink()
    (assets / "etcd").write_text("another program")

    assert before != build(tmp_path, KUBEBUILDER_ASSETS=str(assets)).stdout
