"""The container image: what its Dockerfile copies is there, reaches the builder, and is all that is installed."""

import re
import tomllib
from pathlib import Path

from tests.support.source_tree import PACKAGES, ROOT


def copied() -> set[str]:
    """The sources of every COPY from the repository."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    return {source for line in lines if re.match(r"COPY (?!--from)", line) for source in line.split()[1:-1]}


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
