"""The installer of `make up`, with stand-ins for uv and pip."""

import subprocess
from pathlib import Path

import pytest

from tests.support.source_tree import ROOT

FAILS = "#!/bin/sh\necho it failed >&2\nexit 1\n"


def stand_in(folder: Path, name: str, text: str) -> None:
    file = folder / ".venv" / "bin" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


def says(name: str, *, seconds: float = 0) -> str:
    """A program that writes its arguments to NAME.args, unless it is asked for its version."""
    return f'#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "$@" > {name}.args\nsleep {seconds}\n'


def install(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [ROOT / "deploy" / "install.sh", "--require-hashes", "-r", "some.lock"]
    env = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_uv_installs_and_a_pipe_sees_how_far_it_is(tmp_path: Path):
    stand_in(tmp_path, "uv", says("uv", seconds=2.5))

    done = install(tmp_path, PIP_INDEX_URL="https://mirror.example/index")

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("      2 s, 0 MB unpacked\n")
    arguments = (tmp_path / "uv.args").read_text()
    assert "--require-hashes -r some.lock\n" in arguments
    assert "--default-index https://mirror.example/index" in arguments


@pytest.mark.parametrize("uv", [None, FAILS, FAILS.replace("echo", '[ "$1" = --version ] && exit 0; echo')])
def test_pip_installs_where_uv_cannot(tmp_path: Path, uv: str | None):
    if uv is not None:
        stand_in(tmp_path, "uv", uv)
    stand_in(tmp_path, "python", says("pip"))

    done = install(tmp_path)

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert "-m pip install" in (tmp_path / "pip.args").read_text()
    assert (tmp_path / "pip.args").read_text().endswith("--require-hashes -r some.lock\n")


def test_when_both_fail_the_output_says_why(tmp_path: Path):
    stand_in(tmp_path, "uv", FAILS)
    stand_in(tmp_path, "python", FAILS)

    done = install(tmp_path)

    assert (1, "", "it failed\n") == (done.returncode, done.stdout, done.stderr)
