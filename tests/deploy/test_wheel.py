"""The wheel that `pip install .` makes: the commands, with the files that they need beside the code."""

import configparser
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.source_tree import PACKAGES, ROOT

COMMANDS = {
    "forebay": "forebay.cli.main:main",
    "aibrix_benchmark": "forebay.cli.benchmarking:aibrix_benchmark",
    "aibrix_download": "forebay.cli.downloading:aibrix_download",
    "aibrix_gen_profile": "forebay.cli.profiling:aibrix_gen_profile",
    "aibrix_runtime": "forebay.cli.sidecar:aibrix_runtime",
}
FILES = ("pyproject.toml", "README.md", "LICENSE", "proto", "deploy")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds what the wheel holds, as an installer unpacks it."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in (*PACKAGES, *FILES):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*_pb2.py*"))
        else:
            shutil.copy(ROOT / name, source / name)
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", source], cwd=source, check=True)
    [wheel] = source.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    return folder


def run(installed: Path, *command: str) -> str:
    """Run Python on the wheel's code instead of this folder's; the packages that it needs are those of the tests."""
    start = f"import sys; sys.path.insert(0, {str(installed)!r}); "
    called = subprocess.run(
        [sys.executable, "-P", "-c", start + command[0], *command[1:]], cwd=installed, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    return called.stdout


def test_the_commands_are_there(installed: Path):
    [file] = installed.glob("*.dist-info/entry_points.txt")
    entries = configparser.ConfigParser()
    entries.read(file)

    assert COMMANDS == dict(entries["console_scripts"])
    for name, target in COMMANDS.items():
        module, function = target.split(":")
        said = run(installed, f"from {module} import {function} as main; sys.argv[0] = '{name}'; main()", "--help")
        assert "Usage: " in said


def test_the_bundled_profiles_are_there(installed: Path):
    said = run(
        installed, "import optimizer.profiling.bundled as b; print(b.__file__, len(b.names()), len(b.bundled('L20')))"
    )

    file, count, size = said.split()
    assert (True, 6, True) == (Path(file).is_relative_to(installed), int(count), int(size) > 1000)
