"""Draws which room imports which, as SVG on standard output: `python docs/draw_imports.py [--root CHECKOUT]`.

Lives here: rooms and imports read off a checkout, their order, the picture.  Not here: the rules, which the picture
only shows (import-linter's contracts in pyproject.toml, tests/architecture).

A room is a top-level package, or a package one level down for those in OPENED.  Rooms stand on a staircase, in layers:
first as the contracts say, then so that the fewest modules import upward.  An arrow leaves the importing room to the
right and comes down on the imported one; the number at its bend says how many modules import.  What points up is red.
The same sources give the same bytes.
"""

import sys
import tomllib
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import grimp

OPENED = ("forebay", "gateway")
"""Packages whose own packages are rooms; each of the others is one room."""
NO_CODE = ("__init__.py", "__main__.py")
"""Packages hold a docstring, entry points one call."""
BROKEN_RULE = 1_000
"""An order that breaks a contract is as bad as so many modules that import upward."""

STEP, COLUMN = 40, 44
"""Pixels from one stair to the next, down and to the right."""
BOX_WIDTH, BOX_HEIGHT = 150, 30
MARGIN, HEADER = 20, 80
DOT = 8.5
"""Radius of the circle around a number."""
INK, GREY, BLUE, RED = "#1c2733", "#6b747d", "#3b76ad", "#c0392b"
BAND, BOX = ("#f3f6f9", "#ffffff"), "#dceaf7"
"""Layers are tinted in turn."""
TITLE = "Who imports whom"
LEGEND = "A line leaves a room and comes down on a room that it imports; the number: how many of its modules do."
LEGEND_WIDTH = 580

Pair = tuple[str, str]
"""The importing room and the imported one."""


class House(NamedTuple):
    """The rooms and imports of a checkout."""

    rooms: Mapping[str, str]  # name -> what its box says beside it
    imports: Mapping[Pair, int]  # how many modules import
    above: frozenset[Pair]  # a contract says that the first stands higher than the second


def read(root: Path) -> House:
    """Return the rooms of the checkout at `root` and the imports between them, those for type checkers left out.

    Precondition: Python finds the packages there first.
    """
    linter = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    packages: list[str] = linter["root_packages"]
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=True, cache_dir=None)
    importers: dict[Pair, set[str]] = defaultdict(set)
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            importers[_room_of(module, root), _room_of(imported, root)].add(module)
    rooms = dict(room for package in packages for room in _rooms_in(root / package))
    between = sorted(pair for pair in importers if pair[0] != pair[1] and rooms.keys() >= set(pair))  # no entry points
    imports = {pair: len(importers[pair]) for pair in between}
    return House(rooms, imports, frozenset(_rules(linter.get("contracts", ()), rooms)))


def _room_of(module: str, root: Path) -> str:
    package, *inside = module.split(".")
    is_opened = package in OPENED and inside and (root / package / inside[0]).is_dir()
    return f"{package}.{inside[0]}" if is_opened else package


def _rooms_in(folder: Path) -> Iterator[tuple[str, str]]:
    if folder.name not in OPENED:
        yield folder.name, _counted(_modules(folder.rglob("*.py")), "module")
        return
    if loose := _modules(folder.glob("*.py")):
        yield folder.name, _counted(loose, "loose module")
    for inside in sorted(folder.iterdir()):
        if (inside / "__init__.py").is_file():
            yield f"{folder.name}.{inside.name}", _counted(_modules(inside.rglob("*.py")), "module")


def _modules(files: Iterable[Path]) -> int:
    """Count the files that hold code which people wrote."""
    return sum(file.name not in NO_CODE and not file.stem.endswith("_pb2") for file in files)


def _counted(number: int, what: str) -> str:
    return "generated" if not number else f"{number} {what}{'s' if number > 1 else ''}"


def _rules(contracts: Iterable[Mapping[str, Any]], rooms: Iterable[str]) -> Iterator[Pair]:
    """Yield each pair of rooms whose order a contract of layers fixes."""
    for contract in contracts:
        if contract["type"] != "layers":
            continue
        for container in contract.get("containers", [""]):
            prefix = f"{container}." if container else ""
            members = [[room for room in rooms if _is_on(room, layer, prefix)] for layer in contract["layers"]]
            for index, upper in enumerate(members):
                yield from ((high, low) for lower in members[index + 1 :] for high in upper for low in lower)


def _is_on(room: str, layer: str, prefix: str) -> bool:
    """Whether a layer, `a | b : (c)`, names the room or the package that it lies in."""
    packages = [prefix + package.strip(" ()") for package in layer.replace(":", "|").split("|")]
    return any(room == package or room.startswith(f"{package}.") for package in packages)


def top_down(house: House) -> list[str]:
    """Return the rooms in an order that no move of a single room betters: fewest modules import upward."""

    def worse(high: str, low: str) -> int:
        """Return the cost of putting `high` above `low`."""
        return house.imports.get((low, high), 0) + BROKEN_RULE * ((low, high) in house.above)

    order, moved = sorted(house.rooms), True
    while moved:
        moved = False
        for name in sorted(house.rooms):
            others = [other for other in order if other != name]
            costs = [sum(worse(name, other) for other in others)]
            for other in others:
                costs.append(costs[-1] + worse(other, name) - worse(name, other))
            if min(costs) < costs[order.index(name)]:
                best = costs.index(min(costs))
                order, moved = [*others[:best], name, *others[best:]], True
    return order


def layers(house: House) -> list[list[str]]:
    """Return the rooms in layers: each below all that import it, those that import nobody on the lowest."""
    order = top_down(house)
    place = {room: index for index, room in enumerate(order)}
    down = [(high, low) for high, low in house.imports if place[high] < place[low]]
    depth: dict[str, int] = {}
    for room in order:
        depth[room] = max((depth[high] + 1 for high, low in down if low == room), default=0)
    lowest = max(depth.values(), default=0)
    for room in depth.keys() - {high for high, _ in down}:
        depth[room] = lowest
    return [sorted(room for room in order if depth[room] == at) for at in range(lowest + 1)]


def picture(house: House, title: str) -> str:
    """Return the SVG."""
    rows = layers(house)
    stairs = [room for row in rows for room in row]
    at = {room: index for index, room in enumerate(stairs)}
    width = max(LEGEND_WIDTH, _right(len(stairs) - 1)) + 2 * MARGIN
    height = HEADER + STEP * len(stairs) + MARGIN
    up = [pair for pair in house.imports if at[pair[0]] > at[pair[1]]]
    down = [pair for pair in house.imports if at[pair[0]] < at[pair[1]]]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' font-family="Helvetica, Arial, sans-serif" font-size="12" fill="{INK}">',
        _marker("down", BLUE),
        _marker("up", RED),
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *_bands(rows, width),
        f'<text x="{MARGIN}" y="28" font-size="16" font-weight="bold">{escape(title)}</text>',
        f'<text x="{MARGIN}" y="46" fill="{GREY}">{LEGEND}</text>',
        f'<text x="{MARGIN}" y="63" fill="{RED if up else GREY}">{_summary(house, up)}</text>',
        *_lines(down, at, BLUE, "down"),
        *_lines(up, at, RED, "up"),
        *(_box(room, house.rooms[room], index) for index, room in enumerate(stairs)),
        *(_number(_bend(pair, at), house.imports[pair], BLUE) for pair in down),
        *(_number(_bend(pair, at), house.imports[pair], RED) for pair in up),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _summary(house: House, up: Sequence[Pair]) -> str:
    all_of_them = f"{len(house.rooms)} rooms, {_counted(len(house.imports), 'arrow')}"
    if not up:
        return f"{all_of_them}; none points up"
    modules = _counted(sum(house.imports[pair] for pair in up), "importing module")
    return f"{all_of_them}; {len(up)} point{'s' if len(up) == 1 else ''} up, red, with {modules}"


def _right(stair: int) -> int:
    """Return the x coordinate at which a box ends."""
    return MARGIN + BOX_WIDTH + COLUMN * stair


def _middle(stair: int) -> int:
    return HEADER + STEP * stair + STEP // 2


def _bend(pair: Pair, at: Mapping[str, int]) -> tuple[int, int]:
    """The corner of an arrow: above the right end of the imported box or, when it points up, below its left end."""
    importing, imported = at[pair[0]], at[pair[1]]
    end = COLUMN // 3 if importing < imported else BOX_WIDTH - COLUMN // 3
    return _right(imported) - end, _middle(importing)


def _lines(pairs: Sequence[Pair], at: Mapping[str, int], colour: str, head: str) -> Iterator[str]:
    """Yield one line out of each importing room and one arrow into each imported one; they meet at the bends."""
    is_down = head == "down"
    furthest = max if is_down else min  # of the columns to the right, of those to the left
    for room in sorted({importing for importing, _ in pairs}, key=at.__getitem__):
        start = _right(at[room]) - (0 if is_down else BOX_WIDTH)
        end = furthest(_bend(pair, at)[0] for pair in pairs if pair[0] == room)
        yield f'<path d="M{start} {_middle(at[room])}H{end}" stroke="{colour}"/>'
    for room in sorted({imported for _, imported in pairs}, key=at.__getitem__):
        bends = [_bend(pair, at) for pair in pairs if pair[1] == room]
        start = (min if is_down else max)(y for _, y in bends)
        end = _middle(at[room]) + (-1 if is_down else 1) * (BOX_HEIGHT // 2 + 1)
        yield f'<path d="M{bends[0][0]} {start}V{end}" stroke="{colour}" marker-end="url(#{head})"/>'


def _number(bend: tuple[int, int], count: int, colour: str) -> str:
    x, y = bend
    return (
        f'<circle cx="{x}" cy="{y}" r="{DOT}" fill="#ffffff" stroke="{colour}"/>'
        f'<text x="{x}" y="{y + 4}" text-anchor="middle" font-size="11">{count}</text>'
    )


def _box(room: str, beside: str, stair: int) -> str:
    left, top = _right(stair) - BOX_WIDTH, _middle(stair) - BOX_HEIGHT // 2
    return (
        f'<rect x="{left}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="4" fill="{BOX}" stroke="{BLUE}"/>'
        f'<text x="{left + 8}" y="{top + 13}" font-weight="bold">{room}</text>'
        f'<text x="{left + 8}" y="{top + 25}" font-size="10" fill="{GREY}">{beside}</text>'
    )


def _bands(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    top = HEADER
    for index, row in enumerate(rows):
        height = STEP * len(row)
        yield f'<rect y="{top}" width="{width}" height="{height}" fill="{BAND[index % 2]}"/>'
        top += height


def _marker(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
    )


def main() -> None:
    """Draw what the command line says."""
    parser = ArgumentParser(description="Draw which room imports which, as SVG on standard output.")
    parser.add_argument(
        "--root", type=Path, default=Path(__file__).parents[1], help="the checkout to draw, not this one"
    )
    parser.add_argument("--title", default=TITLE, help="the heading")
    given = parser.parse_args()
    root = given.root.resolve()
    sys.path.insert(0, str(root))  # before what is installed
    sys.stdout.write(picture(read(root), given.title))


if __name__ == "__main__":
    main()
