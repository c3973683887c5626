"""The container image: what its Dockerfile copies is there, reaches the builder, and is all that is installed.

`make test-image` runs the steps of its first stage in a folder, but for Debian's packages and the compiler, which
`make test-compiled` runs; and what the second stage takes of it.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.source_tree import PACKAGES, ROOT

BUILT = {path: path.strip("/") for path in ("/opt/forebay", "/build", "/dist", "/src")}
"""Directories of the first stage, and where they are in the folder."""
COMPILER = " && /build/bin/python deploy/compile.py /dist/site"


def steps() -> list[list[tuple[str, str]]]:
    """The steps of each stage: its instructions and their arguments."""
    stages: list[list[tuple[str, str]]] = []
    for line in (ROOT / "Dockerfile").read_text().replace("\\\n", "").splitlines():
        name, _, arguments = line.partition(" ")
        if name == "FROM":
            stages.append([])
        elif name and name != "#":
            stages[-1].append((name, arguments.strip()))
    return stages


def copied() -> set[str]:
    """The sources of every COPY from the repository."""
    copies = [text for stage in steps() for name, text in stage if name == "COPY" and not text.startswith("--from")]
    return {source for text in copies for source in text.split()[:-1]}


def let_through() -> set[str]:
    """The names that .dockerignore lets through; it begins by leaving everything out."""
    first, *others = (ROOT / ".dockerignore").read_text().split()
    assert "*" == first
    return {line[1:] for line in others if line.startswith("!")}


def test_what_is_copied_is_there_and_reaches_the_builder():
    assert {"missing": [], "ignored": []} == {
        "missing": sorted(name for name in copied() if not (ROOT / name).exists()),
        "ignored": sorted(copied() - let_through()),
    }


def test_every_package_is_copied():
    wheel = tomllib.loads(Path(ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert set(wheel["packages"]) == set(PACKAGES) <= copied()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the first stage has been run."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "src").mkdir()
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    first, _ = steps()
    for name, text in first:
        if name == "COPY":
            copy(folder / "src", *text.split())
        elif name == "RUN" and not text.startswith("apt-get"):
            run(folder, text.replace(COMPILER, ""))
    return folder


def copy(where: Path, *names: str) -> None:
    for name in names[:-1]:
        if (source := ROOT / name).is_dir():
            shutil.copytree(source, where / names[-1], ignore=shutil.ignore_patterns("__pycache__", "*_pb2.py*"))
        else:
            shutil.copy(source, where / name)


def run(folder: Path, command: str) -> str:
    """Run a shell command of the first stage."""
    for path, place in BUILT.items():
        command = re.sub(rf"(?<![\w/.]){path}\b", str(folder / place), command)
    command = command.replace("/lib/python3.11/", f"/lib/python{sys.version_info[0]}.{sys.version_info[1]}/")
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "HOME"))}
    environment = {**kept, "PATH": f"{folder}/bin:/usr/bin:/bin", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        ["sh", "-euc", command], cwd=folder / "src", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


runs_steps = pytest.mark.skipif("FOREBAY_IMAGE" not in os.environ, reason="make test-image")


@runs_steps
@pytest.mark.timeout(900)
def test_what_the_image_starts_is_whole(stage: Path):
    _, second = steps()
    [(_, taken)] = [(name, text) for name, text in second if name == "COPY"]
    [entrypoint] = [text for name, text in second if name == "ENTRYPOINT"]

    assert "--from=build /opt/forebay /opt/forebay" == taken
    assert '["forebay"]' == entrypoint
    commands = (
        "--version",
        *(
            f"{name} --help"
            for name in ("gateway", "engine", "controllers", "optimizer", "runtime", "download", "make-secret")
        ),
    )
    for command in commands:
        assert run(stage, f"/opt/forebay/bin/forebay {command}")
    (stage / "src" / "forebay.yaml").write_text((ROOT / "deploy/base/forebay.yaml").read_text())
    checked = run(stage, "REDIS_PASSWORD=p ADMIN_TOKEN=t /opt/forebay/bin/forebay check-config forebay.yaml")
    assert "pods of all namespaces in Kubernetes" in checked
    modules = "lightkube, highspy, kube.client, gateway.worker.process, botocore.session, huggingface_hub, obstore"
    assert run(stage, f"/opt/forebay/bin/python -c 'import {modules}; print(1)'")


@runs_steps
@pytest.mark.timeout(900)
def test_the_image_is_small_and_has_no_tools(stage: Path):
    installed = stage / "opt" / "forebay"
    size = sum(path.stat().st_size for path in installed.rglob("*") if path.is_file() and not path.is_symlink())

    # 40 MB of it are HiGHS and numpy, for the optimizer; 85 MB are the sources of downloads, botocore half of them
    assert size < 265e6
    assert not [name for name in ("pip", "mypy", "grpc_tools") if list(installed.rglob(f"site-packages/{name}"))]


def test_the_compiler_is_a_step():
    first, _ = steps()

    assert 1 == len([text for name, text in first if name == "RUN" and COMPILER in text])
