"""The drawing of the imports in docs/ is what the sources say, and shows what points up."""

import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.source_tree import ROOT

SCRIPT = ROOT / "docs" / "draw_imports.py"
DRAWING = ROOT / "docs" / "architecture.svg"
DRAW = runpy.run_path(str(SCRIPT))
SVG = "{http://www.w3.org/2000/svg}"

PACKAGES = '[tool.importlinter]\nroot_packages = ["forebay", "gateway", "routing"]\n'
LAYERS = '[[tool.importlinter.contracts]]\ntype = "layers"\nlayers = ["forebay", "gateway", "routing"]\n'


def a_house(imports: Mapping[tuple[str, str], int], above: tuple[tuple[str, str], ...] = ()):
    """Rooms of one letter, as many as the imports name."""
    rooms = {name: "1 module" for pair in imports for name in pair}
    return DRAW["House"](rooms, imports, frozenset(above))


def drawn(root: Path, *options: str) -> str:
    """Return what the command prints."""
    command = [sys.executable, str(SCRIPT), "--root", str(root), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def parsed(svg: str, kind: str) -> Iterator[ElementTree.Element]:
    """The picture's elements of a kind in order."""
    return ElementTree.fromstring(svg).iter(SVG + kind)  # noqa: S314 - it is ours


def texts(svg: str) -> list[str]:
    """Every text of the picture in order."""
    return [element.text or "" for element in parsed(svg, "text")]


def red_numbers(svg: str) -> int:
    """How many arrows point up."""
    return sum(circle.get("stroke") == DRAW["RED"] for circle in parsed(svg, "circle"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository in which `gateway` has a room and a loose module, and two modules import upward."""
    files = {
        "forebay/__init__.py": "",
        "forebay/__main__.py": "import forebay.cli.main\n",
        "forebay/cli/__init__.py": "",
        "forebay/cli/main.py": "import gateway.loose\nimport gateway.rooms.one\n",
        "gateway/__init__.py": "",
        "gateway/__main__.py": "import forebay.cli.main\n",
        "gateway/loose.py": "import gateway.rooms.two\n",
        "gateway/rooms/__init__.py": "",
        "gateway/rooms/one.py": "import routing.deep.inside\nfrom gateway.rooms import two\n",
        "gateway/rooms/two.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import gateway.loose\n",
        "gateway/rooms/made_pb2.py": "",
        "routing/__init__.py": "",
        "routing/deep/__init__.py": "",
        "routing/deep/inside.py": "import gateway.rooms.two\n",
        "pyproject.toml": PACKAGES + LAYERS,
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_the_drawing_in_the_repository_is_up_to_date():
    svg = DRAW["picture"](DRAW["read"](ROOT), DRAW["TITLE"])

    assert DRAWING.read_text(encoding="utf-8") == svg, "run `make docs`"


def test_another_checkout_is_drawn_with_its_own_rooms(checkout: Path):
    svg = drawn(checkout, "--title", "Then & now")
    title, _, summary, *boxes = texts(svg)

    assert ("Then & now", "4 rooms, 6 arrows; 2 point up, red, with 2 importing modules") == (title, summary)
    assert ["forebay.cli", "1 module", "gateway", "1 loose module"] == boxes[:4]
    assert ["gateway.rooms", "2 modules", "routing", "1 module"] == boxes[4:8]
    assert (["1"] * 6, 2) == (boxes[8:], red_numbers(svg))


def test_the_same_sources_give_the_same_bytes(checkout: Path):
    assert drawn(checkout) == drawn(checkout)


def test_rooms_stand_below_all_that_import_them_and_leaves_on_the_lowest_layer():
    house = a_house({("a", "b"): 1, ("a", "c"): 1, ("b", "c"): 2, ("c", "d"): 1, ("a", "e"): 1})

    assert [["a"], ["b"], ["c"], ["d", "e"]] == DRAW["layers"](house)


def test_of_a_circle_the_fewest_modules_point_up():
    house = a_house({("a", "b"): 1, ("b", "a"): 3, ("b", "c"): 2, ("c", "a"): 2})

    assert ["b", "c", "a"] == DRAW["top_down"](house)
    assert 1 == red_numbers(DRAW["picture"](house, "circle"))


def test_a_contract_beats_the_number_of_imports():
    house = a_house({("b", "a"): 30, ("a", "b"): 1}, above=(("a", "b"),))

    assert ["a", "b"] == DRAW["top_down"](house)
    assert "2 rooms, 2 arrows; 1 points up, red, with 30 importing modules" in texts(DRAW["picture"](house, "rule"))


def test_contracts_name_rooms_packages_and_several_at_once():
    contracts = (
        {"type": "layers", "layers": ["x", "y | z"]},
        {"type": "layers", "containers": ["x"], "layers": ["top", "(low)"]},
        {"type": "forbidden", "source_modules": ["x"], "forbidden_modules": ["os"]},
    )

    rules = set(DRAW["_rules"](contracts, ("x.low", "x.top", "y", "z")))

    assert {("x.low", "y"), ("x.low", "z"), ("x.top", "y"), ("x.top", "z"), ("x.top", "x.low")} == rules
