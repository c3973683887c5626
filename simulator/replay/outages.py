"""Faults of pods in a replay, as the command line names them.

Lives here: values and their text.  Not here: what they do (replay).
"""

from enum import StrEnum
from math import inf
from typing import NamedTuple


class OutageKind(StrEnum):
    """What goes wrong."""

    STALL = "stall"
    """Begins no pass; nobody is told."""
    CRASH = "crash"
    """Loses its requests and its cache and starts again; health checks find out at once."""


class Outage(NamedTuple):
    """One pod's, from `at_s` on the replay's clock on, for so long."""

    kind: OutageKind
    pod: str
    at_s: float
    for_s: float


def parse_outage(text: str) -> Outage:
    """Read `stall:pod-0:60:10` or `crash:pod-3:600:30`.  Raises ValueError."""
    try:
        kind, pod, at, duration = text.split(":")
        outage = Outage(OutageKind(kind), pod, float(at), float(duration))
    except ValueError as error:
        raise ValueError(f"fault = {text!r}, must be stall|crash:POD:AT_SECONDS:FOR_SECONDS") from error
    if not (0 <= outage.at_s < inf and 0 <= outage.for_s < inf):
        raise ValueError(f"fault = {text!r}, times must be numbers from 0 on")
    return outage
