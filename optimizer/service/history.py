"""The last day of a model: traffic, replicas and cost, decision by decision.

Lives here: what is remembered, and as JSON.  Not here: drawing it.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

KEPT_S = 86_400.0
EVERY_S = 30.0
"""Moments that are closer to each other are one."""
MOST = round(KEPT_S / EVERY_S) + 2
"""Moments of a day, and both ends."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One decision."""

    at_s: float
    """Unix time, by the clock of Redis."""
    rate: float
    """Requests per second that were planned for."""
    replicas: Mapping[str, int]
    """Published, by key of the deployment."""
    cost: float | None
    """Money per hour of these; None = nothing was planned, the last decision stands."""
    unserved: float | None
    """Requests per second that nobody serves; None likewise."""


class History:
    """The moments of one model, in the order of time, at most MOST and none older than a day."""

    def __init__(self) -> None:
        self._moments: deque[Moment] = deque(maxlen=MOST)

    def add(self, moment: Moment) -> None:
        """Remember a moment, and forget those of a day before it.

        Of moments in quick succession the last is kept.
        """
        while self._moments and self._moments[0].at_s < moment.at_s - KEPT_S:
            self._moments.popleft()
        if len(self._moments) > 1 and moment.at_s - self._moments[-2].at_s <= EVERY_S:
            self._moments.pop()
        self._moments.append(moment)

    def page(self) -> list[dict[str, object]]:
        """Return all moments as JSON values."""
        return [asdict(moment) for moment in self._moments]

    def __iter__(self) -> Iterator[Moment]:
        return iter(self._moments)
