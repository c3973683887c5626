"""The difference of two readings of a gateway, as rows of `forebay top`.

Lives here: rates, the order of rows, their text.  Not here: reading pages (sample), drawing again and again
(forebay.cli.watching).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from console.looking.sample import Sample

_PER_CENT = 100


class ModelRow(NamedTuple):
    """One model; rates are per second between the two readings."""

    model: str
    requests_per_s: float
    input_tokens_per_s: float
    output_tokens_per_s: float
    waiting: int


class PodRow(NamedTuple):
    """One pod; None = not known."""

    pod: str
    state: str
    in_flight: int
    others: float
    """Requests of direct clients and other gateways."""
    engine_waits: float | None
    kv_usage: float | None
    prefill_s: float
    """Seconds of prefill that were sent and are not done."""
    output_ms: float | None
    """Learned milliseconds per output token."""


class Screen(NamedTuple):
    """The rows to show."""

    models: Sequence[ModelRow]
    pods: Sequence[PodRow]
    refusals_per_s: Mapping[str, float]


def screen(before: Sample, now: Sample) -> Screen:
    """Return the rates between two readings and the state at the second; busiest models and pods first."""
    period_s = max(now.taken_s - before.taken_s, 1e-9)

    def rate(later: Mapping[Any, float], earlier: Mapping[Any, float], key: Any) -> float:
        grown = later.get(key, 0.0) - earlier.get(key, 0.0)
        return (grown if grown >= 0 else later.get(key, 0.0)) / period_s  # below 0: it was started again, from 0

    known = {model for pod in now.pods for model in pod["models"]} | {*now.requests, *now.waiting}
    models = [
        ModelRow(
            model,
            rate(now.requests, before.requests, model),
            rate(now.tokens, before.tokens, (model, "input")),
            rate(now.tokens, before.tokens, (model, "output")),
            now.waiting.get(model, 0),
        )
        for model in sorted(known)
    ]
    refusals = {kind: each for kind in sorted(now.refusals) if (each := rate(now.refusals, before.refusals, kind))}
    return Screen(
        sorted(models, key=lambda row: -row.requests_per_s),
        sorted(map(_pod_row, now.pods), key=lambda row: (-row.in_flight, row.pod)),
        refusals,
    )


def _pod_row(pod: Mapping[str, Any]) -> PodRow:
    signals, foreign, speed = pod["signals"], pod["foreign"], pod["speed"]
    return PodRow(
        pod["pod"],
        "set aside" if pod["ejected"] else pod["state"],
        pod["in_flight"],
        foreign["running"] + foreign["waiting"],
        signals["waiting"],
        signals["kv_usage"],
        pod["wait_s"],
        speed["output_s"] * 1000 if speed["known"] else None,
    )


def lines(shown: Screen, most: int) -> list[str]:
    """Return the screen as text of at most `most` lines; what has no room is counted in the last one."""
    models = _table(
        ("MODEL", "REQ/S", "IN TOK/S", "OUT TOK/S", "WAITING"),
        [
            (row.model, f"{row.requests_per_s:.1f}", f"{row.input_tokens_per_s:.0f}", f"{row.output_tokens_per_s:.0f}",
             str(row.waiting)) for row in shown.models
        ],
    )  # fmt: skip
    pods = _table(
        ("POD", "STATE", "IN FLIGHT", "OTHERS", "ENGINE WAITS", "KV CACHE", "PREFILL LEFT", "PER TOKEN"),
        [
            (row.pod, row.state, str(row.in_flight), f"{row.others:.0f}", _number(row.engine_waits, 1, "", 0),
             _number(row.kv_usage, _PER_CENT, " %", 0), f"{row.prefill_s:.2f} s", _number(row.output_ms, 1, " ms", 1))
            for row in shown.pods
        ],
    )  # fmt: skip
    refusals = ", ".join(f"{kind} {each:.1f}/s" for kind, each in shown.refusals_per_s.items())
    text = [f"refused: {refusals or 'none'}", "", *models, "", *pods]
    return text if len(text) <= most else [*text[: most - 1], f"... and {len(text) - most + 1} more lines"]


def _number(value: float | None, factor: float, unit: str, digits: int) -> str:
    return "-" if value is None else f"{value * factor:.{digits}f}{unit}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows under their head, the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width)
                  for column, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in (head, *rows)
    ]  # fmt: skip


def as_record(shown: Screen) -> dict[str, Any]:
    """Return the screen for JSON."""
    return {
        "models": [row._asdict() for row in shown.models],
        "pods": [row._asdict() for row in shown.pods],
        "refusals_per_s": shown.refusals_per_s,
    }
