"""The JSON of a hint (docs/contracts.md, section 6).

Lives here: its fields, their bounds, writing and reading.  Not here: where hints are kept (hint_store).
"""

from collections.abc import Collection, Iterable
from itertools import pairwise
from math import fsum
from typing import Annotated

import msgspec
from msgspec import Meta

from traffic.hint import Hint, Weights

MAX_BYTES = 1_000_000
"""Bytes of a hint at most (chosen: 10 deployments and 144 cells take 60,000; a gateway reads them beside requests)."""
MAX_TICKS = 256
"""Lengths of outputs, and of inputs, at most (chosen: the buckets of traces have fewer up to a million tokens)."""
MAX_DEPLOYMENTS = 256
"""Deployments of one model at most (chosen)."""
MAX_AMOUNT = 1e15
"""Numbers at most: tokens, money, seconds, requests per second (chosen: a float still counts in ones there)."""
SUM_TOLERANCE = 0.01
"""How far the weights of a cell may be from adding up to one (chosen: writers may round to two or three digits)."""

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Amount = Annotated[float, Meta(ge=0, le=MAX_AMOUNT)]
Count = Annotated[int, Meta(ge=0, le=int(MAX_AMOUNT))]
Share = Annotated[float, Meta(ge=0, le=1)]
Ticks = Annotated[tuple[Annotated[float, Meta(gt=0, le=MAX_AMOUNT)], ...], Meta(min_length=1, max_length=MAX_TICKS)]
Cell = Annotated[dict[Name, Share], Meta(max_length=MAX_DEPLOYMENTS)]
Grid = tuple[tuple[Amount, ...], ...]


class _Record(msgspec.Struct, frozen=True):
    """The fields as they are written.  Unknown ones are ignored, so that writers may add some."""

    version: Count
    created: Amount
    indexes: tuple[Ticks, Ticks]  # output tokens, input tokens
    replicas: Annotated[dict[Name, Count], Meta(max_length=MAX_DEPLOYMENTS)]
    share: tuple[tuple[Cell, ...], ...]  # by output and input
    in_share: tuple[Cell, ...]
    throughput: Annotated[dict[Name, Grid], Meta(max_length=MAX_DEPLOYMENTS)] = {}
    unserved: tuple[tuple[Count, Count, Share], ...] = ()
    slo: dict[str, Amount] | None = None
    cost: Amount = 0.0


_DECODER = msgspec.json.Decoder(_Record)


def render(hint: Hint) -> bytes:
    """Return the JSON of a hint.  Raises ValueError for one that `parse` would refuse."""
    record = {
        "version": hint.version,
        "created": hint.created_s,
        "slo": hint.slo,
        "indexes": (hint.outputs, hint.inputs),
        "replicas": dict(hint.replicas),
        "share": [list(map(dict, row)) for row in hint.share],
        "in_share": list(map(dict, hint.in_share)),
        "throughput": dict(hint.throughput),
        "unserved": hint.unserved,
        "cost": hint.cost,
    }
    text = msgspec.json.encode(record)
    parse(text)
    return text


def parse(text: bytes) -> Hint:
    """Return the hint of a JSON text.  Raises ValueError that says what is wrong."""
    if len(text) > MAX_BYTES:
        raise ValueError(f"hint = more than {MAX_BYTES} bytes, must have at most so many")
    try:
        record = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"hint: {error}") from error
    outputs, inputs = record.indexes
    for axis, ticks in enumerate(record.indexes):
        _check(f"indexes[{axis}]", all(low < high for low, high in pairwise(ticks)), "must ascend")
    shape = [len(inputs)] * len(outputs)
    _check_shape("share", record.share, shape)
    for name, grid in record.throughput.items():
        _check_shape(f"throughput.{name}", grid, shape)
    _check("in_share", len(record.in_share) == len(inputs), f"must have {len(inputs)} cells, one for each input length")
    _check_sums("in_share", record.in_share)
    for row, cells in enumerate(record.share):
        _check_sums(f"share[{row}]", cells)
    inside = all(out < len(outputs) and into < len(inputs) for out, into, _ in record.unserved)
    _check("unserved", inside, "must name cells of share")
    return Hint(
        record.version, record.created, outputs, inputs, record.replicas, record.share, record.in_share,
        record.throughput, record.unserved, record.slo, record.cost,
    )  # fmt: skip


def _check(key: str, holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(f"hint: {key} {rule}")


def _check_shape(key: str, rows: Iterable[Collection[object]], shape: list[int]) -> None:
    lengths = list(map(len, rows))
    columns = shape[0]
    _check(key, lengths == shape, f"must have {len(shape)} rows (output lengths) of {columns} cells (input lengths)")


def _check_sums(key: str, cells: Iterable[Weights]) -> None:
    for index, cell in enumerate(cells):
        total = fsum(cell.values())
        holds = not cell or abs(total - 1) <= SUM_TOLERANCE
        _check(f"{key}[{index}]", holds, f"adds up to {total:g}, must to 1 unless it is empty")
