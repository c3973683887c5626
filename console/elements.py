"""Elements that several pages have: tables, notes, tiles, links between pages.

Lives here: their look, made of Mantine's components.  Not here: what they say (console.pages).
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import dash_mantine_components as dmc
from dash import dcc, html

BASE = "/console/"
TICK_S = 2.0
"""Seconds between two refreshments of a page that is looked at (chosen: faster than people compare numbers)."""


def tick(name: str) -> Any:
    """Return the clock of a page, by which its callbacks are called."""
    return dcc.Interval(id=name, interval=TICK_S * 1000)


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
    """Return a table that scrolls by itself on a narrow screen; its caption is read aloud."""
    inner = [
        dmc.TableCaption(caption),
        dmc.TableThead(dmc.TableTr([dmc.TableTh(text) for text in head])),
        dmc.TableTbody([dmc.TableTr([dmc.TableTd(cell) for cell in row]) for row in rows]),
    ]
    whole = dmc.Table(inner, striped=True, highlightOnHover=True, captionSide="top")
    return dmc.TableScrollContainer(whole, minWidth=500)


def note(text: str, *, is_bad: bool = False) -> Any:
    """Return one sentence in a box."""
    return dmc.Alert(text, color="red" if is_bad else "gray", variant="light")


def tile(label: str, value: str) -> Any:
    """Return a number with its name."""
    return dmc.Paper(
        [dmc.Text(label, c="dimmed", size="sm"), dmc.Text(value, size="xl", fw=700)], withBorder=True, p="md"
    )


def link(text: str, page: str, **query: str) -> Any:
    """Return a link to another page of the console."""
    return dmc.Anchor(text, href=f"{BASE}{page}?{urlencode(query)}".rstrip("?"), refresh=False)


def bar(share: float, text: str) -> Any:
    """Return a share of 1 as text and as a bar."""
    return dmc.Group(
        [dmc.Text(text, size="sm", miw=45), dmc.Progress(value=100 * min(1.0, share), w=80)], wrap="nowrap"
    )


def fields(record: Mapping[str, Any]) -> Any:
    """Return a record as a list of its fields."""
    rows = [[name, html.Code(_shown(value))] for name, value in record.items()]
    return table("", ("field", "value"), rows)


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)
