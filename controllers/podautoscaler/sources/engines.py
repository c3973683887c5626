"""The engines of a target's pods from one look to the next: what they did meanwhile, and whether they restarted.

Lives here: differences of counters, without I/O.  Not here: asking for pages (pages), names of metrics
(autoscaling.exposition).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from autoscaling.exposition import ITL, KV_USAGE, RUNNING, STARTED, TTFT, WAITING, Exposition, Total
from autoscaling.observation import Latency, PodReading

SETTLE_S = 10.0
"""So long after a restart an engine says nothing of its load: what was in it is lost, and comes back (chosen)."""
SAME_START_S = 1.0
"""Starts that differ by less are one: pages give it with few digits."""
NONE = Total(0.0, 0.0)


class Step(NamedTuple):
    """Latencies that ended in an engine since its page before."""

    ttft: Total = NONE
    itl: Total = NONE


@dataclass(slots=True)
class _Engine:
    """An engine as its last page told it."""

    started_s: float | None
    ttft: Total | None
    itl: Total | None
    restarted_s: float = -inf

    def is_before_restart(self, page: "_Engine") -> bool:
        """Whether the engine of that page has begun anew: by its time of start, or by counters that fell."""
        if self.started_s is not None and page.started_s is not None:
            return page.started_s > self.started_s + SAME_START_S
        pairs = ((self.ttft, page.ttft), (self.itl, page.itl))
        return any(old is not None and (new is None or new.number < old.number) for old, new in pairs)


class Engines:
    """The engines of one target, by pod."""

    def __init__(self) -> None:
        self._known: dict[str, _Engine] = {}

    def step(self, pod: str, page: Exposition, now_s: float) -> Step | None:
        """Return what ended since the page before, nothing for a first page; None = it restarted a moment ago."""
        new = _Engine(page.value(STARTED), page.total(TTFT), page.total(ITL))
        old = self._known.get(pod)
        self._known[pod] = new
        if old is None:
            return Step()
        new.restarted_s = now_s if old.is_before_restart(new) else old.restarted_s
        if now_s - new.restarted_s < SETTLE_S:
            return None
        return Step(_difference(old.ttft, new.ttft), _difference(old.itl, new.itl))

    def keep(self, pods: Collection[str]) -> None:
        """Forget all pods but these."""
        self._known = {pod: engine for pod, engine in self._known.items() if pod in pods}


def _difference(old: Total | None, new: Total | None) -> Total:
    if old is None or new is None or new.number < old.number or new.amount < old.amount:
        return NONE
    return Total(new.amount - old.amount, new.number - old.number)


def reading(pod: str, page: Exposition | None, metrics: dict[str, float]) -> PodReading:
    """Return the load of an engine, as far as its page tells it, and the metrics that were asked for."""
    if page is None:
        return PodReading(pod, metrics=metrics)
    running, waiting, kv_usage = (_amount(page.value(name)) for name in (RUNNING, WAITING, KV_USAGE))
    return PodReading(pod, running, waiting, kv_usage, metrics=metrics)


def _amount(value: float | None) -> float | None:
    return value if value is not None and value >= 0 else None


def latency(steps: Collection[Step]) -> Latency | None:
    """Return the means of what ended in all engines together; None = nothing did."""
    ttft, itl = _sum(step.ttft for step in steps), _sum(step.itl for step in steps)
    if not ttft.number and not itl.number:
        return None
    return Latency(_mean(ttft), ttft.number, _mean(itl), itl.number)


def _sum(totals: Iterable[Total]) -> Total:
    amounts, numbers = zip(NONE, *totals, strict=True)
    return Total(sum(amounts), sum(numbers))


def _mean(total: Total) -> float | None:
    return total.amount / total.number if total.number else None
