"""Outages of pods in a replay, as the option `--fault` names them.

Lives here: values and their text.  Not here: what happens in an outage (replay).
"""

from enum import StrEnum
from math import inf
from typing import NamedTuple


class OutageKind(StrEnum):
    """The kinds of outages."""

    STALL = "stall"
    """The engine begins no pass; health checks do not notice."""
    CRASH = "crash"
    """The engine loses its requests and its cache and restarts; health checks notice at once."""


class Outage(NamedTuple):
    """An outage of one pod, which begins at `at_s` on the replay's clock."""

    kind: OutageKind
    pod: str
    at_s: float
    duration_s: float


def parse_outage(text: str) -> Outage:
    """Return the outage that `stall:pod-0:60:10` or `crash:pod-3:600:30` describes.  Raises ValueError."""
    try:
        kind, pod, at, duration = text.split(":")
        outage = Outage(OutageKind(kind), pod, float(at), float(duration))
    except ValueError as error:
        raise ValueError(f"fault = {text!r}, must be stall|crash:POD:AT_SECONDS:FOR_SECONDS") from error
    if not (0 <= outage.at_s < inf and 0 <= outage.duration_s < inf):
        raise ValueError(f"fault = {text!r}, times must be numbers >= 0")
    return outage
