"""Numbers and tables in Markdown.

Lives here: their text.  Not here: which figures there are (report, worker_report).
"""

from collections.abc import Iterator, Sequence

Row = Sequence[str]
ABSENT = "-"
"""The cell of a figure that was not measured."""


def ratio(figure: float | None, to: float | None) -> float | None:
    """Return figure / to, or None when either is unknown or `to` is 0."""
    return figure / to if figure is not None and to else None


def difference(figure: float | None, to: float | None) -> float | None:
    """Return figure - to, or None when either is unknown."""
    return None if figure is None or to is None else figure - to


def number(figure: float | None, places: int = 0) -> str:
    """Return the text of a figure."""
    return ABSENT if figure is None else f"{figure:,.{places}f}"


def table(header: Row, rows: Iterator[Row]) -> str:
    """Return a Markdown table, padded so that it reads well on a terminal too."""
    cells = [header, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    padded = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    rule = "-|-".join("-" * width for width in widths)
    return "\n".join(f"| {line} |" for line in (padded[0], rule, *padded[1:]))
