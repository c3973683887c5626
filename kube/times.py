"""Times as Kubernetes writes them, and the clocks that are read.  `now_s` is in seconds since the epoch."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple


class Clocks(NamedTuple):
    """The clocks of a composition root, both in seconds."""

    monotonic: Callable[[], float]  # measures
    wall: Callable[[], float]  # since the epoch; is only written down, for people


def timestamp(now_s: float) -> str:
    """Return metav1.Time: RFC 3339 to the second."""
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(now_s: float) -> str:
    """Return metav1.MicroTime: RFC 3339 to the microsecond."""
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
