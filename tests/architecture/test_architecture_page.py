"""docs/architecture.md names files, rooms and intervals as they are."""

import ast
import re
import runpy
from pathlib import Path

import pytest

from gateway.config.settings import Settings
from tests.support.source_tree import ROOT, read

PAGE = read(Path("docs/architecture.md"))
FILE = re.compile(
    r"`((?:autoscaling|controllers|forebay|gateway|kube|ratelimit|routing|runtime|simulator|traffic)/[\w/]+\.\w+)`"
)
ROOM = re.compile(r"^\| `([\w.]+)` \|", re.MULTILINE)
BY_CONSTANT = re.compile(r"^\| (.+?) \| .+? \| ([\d.]+) s[^|]* \| `([\w/.]+)` `(\w+)` \|$", re.MULTILINE)
BY_SETTING = re.compile(r"^\| `(\w+)` \| .+? \| ([\d.]+) s, jittered \| `(\w+)\.(\w+)` \|$", re.MULTILINE)


def constant(module: str, name: str) -> object:
    """The number that a module assigns to a name."""
    for node in ast.parse(read(Path(module))).body:
        if isinstance(node, ast.Assign) and [name] == [ast.unparse(target) for target in node.targets]:
            return ast.literal_eval(node.value)
    raise LookupError(f"{module} has no {name}")


def test_every_file_that_is_named_exists():
    assert [] == [name for name in FILE.findall(PAGE) if not (ROOT / name).is_file()]
    assert len(FILE.findall(PAGE)) > 30


def test_the_rooms_are_those_of_the_drawing():
    draw = runpy.run_path(str(ROOT / "docs" / "draw_imports.py"))
    table = PAGE.partition("## Rooms")[2].partition("## ")[0]

    assert sorted(draw["read"](ROOT).rooms) == sorted(ROOM.findall(table))


@pytest.mark.parametrize("row", BY_CONSTANT.findall(PAGE), ids=lambda row: row[0])
def test_intervals_are_those_of_the_constants(row: tuple[str, str, str, str]):
    _, seconds, module, name = row

    assert float(seconds) == constant(module, name)


@pytest.mark.parametrize("row", BY_SETTING.findall(PAGE), ids=lambda row: row[0])
def test_intervals_are_the_defaults_of_the_settings(row: tuple[str, str, str, str]):
    _, seconds, section, key = row

    assert float(seconds) == getattr(getattr(Settings(), section), key)


def test_the_table_of_timers_is_read():
    assert (21, 2) == (len(BY_CONSTANT.findall(PAGE)), len(BY_SETTING.findall(PAGE)))
