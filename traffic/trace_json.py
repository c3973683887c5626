"""The format of traces: one JSON object of integers per model and window (docs/contracts.md, section 6).

Versions 1 to 4 of AIBrix are read.  What we write is version 4, with figures of our own whose names begin with `meta_`,
because its readers ignore those and refuse whatever else they do not know.

Lives here: the format.  Not here: keys, and where traces are kept (store).
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from traffic.window import INDEX_PER_OCTAVE, WINDOW_S, Lengths, Window

CONSTANTS: Final = {"meta_v": 4, "meta_interval_sec": round(WINDOW_S), "meta_precision": INDEX_PER_OCTAVE}
"""The figures that do not add up when traces are merged."""
ARRIVED: Final = "meta_in_"
"""Begins the names of arrivals by input index."""
SENT: Final = "meta_to_"
"""Begins the names of requests sent by deployment."""
WRITER: Final = "meta_by_"
"""Begins the names of writers' marks: the number of the last report of each that is in the trace."""
_FIRST_PRECISION = 1
"""Buckets per doubling of tokens in version 1, which does not tell them."""

_CELL = re.compile(r"([0-9]+):([0-9]+)")
_FIELDS = msgspec.json.Decoder(dict[str, int])


def render(window: Window) -> dict[str, int]:
    """Return the figures of a window that add up; with CONSTANTS and a writer's mark they are its trace."""
    cells = {f"{inputs}:{outputs}": count for (inputs, outputs), count in window.completed.items()}
    arrived = {f"{ARRIVED}{index}": count for index, count in (window.arrived_inputs or {}).items()}
    sent = {f"{SENT}{deployment}": count for deployment, count in window.sent.items()}
    totals = {
        "meta_total_reqs": window.arrivals,
        "meta_pending_reqs": window.in_flight,
        "meta_queueing_reqs": window.queued,
        "meta_refused": window.refused,
    }
    return cells | totals | arrived | sent


def parse(trace: bytes | str, ends_at_s: float) -> Window:
    """Return the window of a trace that ends at this Unix time.

    Raises ValueError for what is no flat object of counts, and for a name that is neither a cell's nor begins with
    `meta_`.
    """
    try:
        fields = _FIELDS.decode(trace)
    except msgspec.DecodeError as error:
        raise ValueError("it is no JSON object of integers") from error
    if any(count < 0 for count in fields.values()):
        raise ValueError("a count is negative")
    interval_s, precision = fields.get("meta_interval_sec", WINDOW_S), fields.get("meta_precision", _FIRST_PRECISION)
    if not interval_s or not precision:
        raise ValueError("meta_interval_sec or meta_precision is 0")
    completed = _completed(fields, INDEX_PER_OCTAVE / precision)
    writers = len(_named(fields, WRITER))
    arrived = {int(index): count for index, count in _named(fields, ARRIVED).items() if index.isdecimal()}
    return Window(
        duration_s=float(interval_s),
        arrivals=fields.get("meta_total_reqs", sum(completed.values())),
        completed=completed,
        arrived_inputs=arrived if arrived or writers else None,
        in_flight=fields.get("meta_pending_reqs", 0),
        queued=fields.get("meta_queueing_reqs", 0),
        refused=fields.get("meta_refused", 0),
        sent=_named(fields, SENT),
        starts_at_s=ends_at_s - interval_s,
        writers=writers or 1,
    )


def _completed(fields: Mapping[str, int], scale: float) -> dict[Lengths, int]:
    """Return completed requests by our indexes, each of which is `scale` of the trace's."""
    completed: dict[Lengths, int] = {}
    for name, count in fields.items():
        if name.startswith("meta_"):
            continue
        if (cell := _CELL.fullmatch(name)) is None:
            raise ValueError("a name is neither a cell's nor begins with meta_")
        lengths = round(int(cell[1]) * scale), round(int(cell[2]) * scale)
        completed[lengths] = completed.get(lengths, 0) + count
    return completed


def _named(fields: Mapping[str, int], prefix: str) -> dict[str, int]:
    """Return the figures whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): count for name, count in fields.items() if name.startswith(prefix)}
