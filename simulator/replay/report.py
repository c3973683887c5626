"""The report of several replays: a table for the terminal, and a page with plots.

Lives here: rows, text and HTML.  Not here: the numbers (summary), drawing (plots).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from simulator.replay.summary import Distribution, Slo, Summary

ABSENT = "-"
SHORT = frozenset({"", "good", "token reuse", "TTFT mean, ms", "TTFT p50, ms", "TTFT p99, ms", "served", "load spread"})
"""The labels of the figures in a short table."""


Part = tuple[str, Sequence[Sequence[str]], Sequence[str]]
"""A title, the rows of a table with a heading first, and addresses of pictures."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The token reuse of one LRU cache: with the size of all pods' caches together, and without a limit."""

    pooled: float
    endless: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several replays of one trace, to be compared."""

    title: str
    slo: Slo
    ceilings: Ceilings
    summaries: Sequence[Summary]

    @property
    def note(self) -> str:
        """The definitions of what the table shows."""
        return (
            f"Token reuse: {self.ceilings.pooled:.3f} in one cache of the same total, "
            f"{self.ceilings.endless:.3f} in an endless one. "
            f"Good: first token within {self.slo.ttft_s:g} s, then {self.slo.itl_s * 1000:g} ms a token on average. "
            "Load spread: the busiest pod's time over the mean. "
            "Service difference: weighted tokens by which the worst served user fell behind in a minute."
        )


def rows(comparison: Comparison) -> list[list[str]]:
    """Return the table's rows, a heading first; each replay is a column."""
    runs = comparison.summaries
    figures = {"": [f"{run.strategy} {run.speedup:g}x" for run in runs]}
    for label, distribution_of in DISTRIBUTIONS.items():
        for share in Distribution._fields:
            figures[f"{label} {share}, ms"] = [_ms(distribution_of(run), share) for run in runs]
    figures |= {label: [shown(run) for run in runs] for label, shown in FIGURES.items()}
    figures["of the pooled cache's reuse"] = [_share(run.reuse, comparison.ceilings.pooled) for run in runs]
    return [[label, *cells] for label, cells in figures.items()]


def table(comparison: Comparison) -> str:
    """Return the table as text for a terminal."""
    return "\n".join([comparison.title, *aligned(rows(comparison)), comparison.note])


def short_table(comparison: Comparison) -> str:
    """Return a table with a line for each replay and only the figures of SHORT, for many replays."""
    columns = [row for row in rows(comparison) if row[0] in SHORT]
    return "\n".join([comparison.title, *aligned(list(zip(*columns, strict=True))), comparison.note])


def aligned(cells: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the rows of a table as lines, the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for label, *values in cells:
        aligned = (value.rjust(width) for value, width in zip(values, widths[1:], strict=True))
        yield "  ".join([label.ljust(widths[0]), *aligned])


def page(comparison: Comparison, images: Sequence[str]) -> str:
    """Return the HTML page; `images` are addresses relative to it."""
    return document(comparison.title, [("", rows(comparison), images)], comparison.note)


def document(title: str, parts: Iterable[Part], note: str) -> str:
    """Return an HTML page of tables and pictures."""
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
            "<style>body{font:15px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:left;white-space:nowrap}",
            "tr:nth-child(even){background:#f2f2f2}img{max-width:48%}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            *(line for part in parts for line in _part(*part)),
            f"<p>{escape(note)}</p></body></html>\n",
        ]
    )


def _part(title: str, cells: Sequence[Sequence[str]], images: Sequence[str]) -> Iterator[str]:
    header, *body = cells
    if title:
        yield f"<h2>{escape(title)}</h2>"
    yield f"<table>{_row(header, 'th')}{''.join(_row(row, 'td') for row in body)}</table>"
    yield from (f'<img src="{escape(image)}" alt="{escape(image)}">' for image in images)


def _row(cells: Sequence[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


def _ms(distribution: Distribution | None, share: str) -> str:
    return ABSENT if distribution is None else f"{getattr(distribution, share) * 1000:.2f}"


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else ABSENT


def _refused(run: Summary) -> str:
    return " ".join([str(sum(run.refused.values())), *(f"{why}:{number}" for why, number in run.refused.items())])


def _service(run: Summary) -> str:
    return ABSENT if run.service is None else f"{run.service.mean:.0f} / {run.service.largest:.0f}"


DISTRIBUTIONS: Mapping[str, Callable[[Summary], Distribution | None]] = {
    "TTFT": lambda run: run.ttft,
    "ITL": lambda run: run.itl,
    "end to end": lambda run: run.e2e,
}

FIGURES: Mapping[str, Callable[[Summary], str]] = {
    "served": lambda run: f"{run.served} of {run.requests}",
    "prompt tokens served": lambda run: f"{run.prompt_share:.1%}",
    "refused": _refused,
    "good": lambda run: str(run.good),
    "preempted": lambda run: str(run.preemptions),
    "load spread": lambda run: f"{run.load_spread:.2f}",
    "service difference, mean / largest": _service,
    "token reuse": lambda run: f"{run.reuse:.3f}",
}
