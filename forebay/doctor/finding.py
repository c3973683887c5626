"""One finding of `forebay doctor`.

Lives here: the value.  Not here: looking (machine, servers), printing (forebay.cli.diagnosing).
"""

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """How well one thing is."""

    OK = "ok"
    NOTE = "note"
    """It works; this may matter, or is not there because nothing needs it yet."""
    PROBLEM = "problem"
    """Requests fail, or will."""


class Finding(NamedTuple):
    """One thing that was looked at."""

    state: State
    subject: str
    text: str
    next_step: str = ""
    """A command to type or a key to change; empty where nothing is to be done."""
