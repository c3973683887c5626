"""A picture of a profile: the throughput of each pair of lengths, and the price of a million tokens.

Lives here: drawing.  Not here: the numbers (making).  Needs matplotlib, which the extra `simulate` installs.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

SIZE_INCHES = (11.0, 4.6)
SECONDS_PER_HOUR = 3600.0
MILLION = 1e6


def draw(page: Mapping[str, Any], file: Path) -> None:
    """Draw a profile's fields to a PNG file."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    rates, prices = figure.subplots(1, 2)
    _map(rates, page, page["tputs"], "requests per second", "viridis")
    _map(prices, page, _prices(page), "cost per million tokens, input and output", "viridis_r")
    slos = ", ".join(f"{name} {value:g}" for name, value in page["slos"].items())
    figure.suptitle(f"{page['gpu']}: one replica inside the SLO ({slos}), cost {page['cost']:g} per hour")
    figure.savefig(file, format="png")


def _prices(page: Mapping[str, Any]) -> list[list[float]]:
    """Return the cost of a million tokens; 0 where nothing can be served."""
    outputs, inputs = page["indexes"]
    return [
        [page["cost"] / (rate * (out + into) * SECONDS_PER_HOUR) * MILLION if rate else 0.0
         for into, rate in zip(inputs, row, strict=True)]
        for out, row in zip(outputs, page["tputs"], strict=True)
    ]  # fmt: skip


def _map(axes: Axes, page: Mapping[str, Any], grid: Sequence[Sequence[float]], title: str, colours: str) -> None:
    outputs, inputs = page["indexes"]
    values = [value for row in grid for value in row if value > 0 and isfinite(value)]
    shown = [[value or float("nan") for value in row] for row in grid]
    norm = LogNorm(min(values), max(values)) if values and min(values) < max(values) else None
    axes.imshow(shown, origin="lower", aspect="auto", norm=norm, cmap=colours)
    for o, row in enumerate(grid):
        for i, value in enumerate(row):
            text = f"{value:.3g}" if value else "-"
            axes.text(
                i, o, text, ha="center", va="center", fontsize=8, bbox={"fc": "white", "alpha": 0.7, "lw": 0, "pad": 1}
            )
    axes.set(title=title, xlabel="input tokens", ylabel="output tokens")
    axes.set_xticks(range(len(inputs)), [f"{each:g}" for each in inputs])
    axes.set_yticks(range(len(outputs)), [f"{each:g}" for each in outputs])
