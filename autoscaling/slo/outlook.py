"""The time ahead, simulated: which queue is left with n replicas.

Lives here: pods that will be ready, and the simulation.  Not here: the choice of n (strategy).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from autoscaling.slo.demand import SLOT_S
from autoscaling.slo.flight import Flight
from autoscaling.slo.service import Curve

STEPS = 2
"""Steps of the simulation per slot."""


@dataclass(frozen=True, slots=True)
class Pods:
    """The pods there are and those that may be ordered now."""

    ready: int
    remaining_s: Sequence[float]
    """Seconds that each starting pod will still take, ascending."""
    startup_s: float
    """Seconds that a pod ordered now will take."""

    def ready_after(self, total: int, seconds: float) -> int:
        """Return how many of `total` pods are ready then; pods that start are given up before those that are ready."""
        starting = min(len(self.remaining_s), max(0, total - self.ready))
        new = max(0, total - self.ready - starting)
        started = bisect_right(self.remaining_s, seconds, hi=starting)
        return min(total, self.ready) + started + (new if seconds >= self.startup_s else 0)


@dataclass(frozen=True, slots=True)
class Capacity:
    """The requests that a pod can serve."""

    curve: Curve
    most: float
    """Requests at once."""

    @property
    def service_s(self) -> float:
        """Service time of a full pod."""
        return self.curve.seconds(self.most)

    @property
    def rate(self) -> float:
        """Requests per second of a full pod."""
        return self.most / self.service_s


@dataclass(frozen=True, slots=True)
class Outlook:
    """All that is known of the time ahead, but for the replicas."""

    flight: Flight
    waiting: float
    pods: Pods
    demand: Sequence[float]
    """Requests per second in each slot."""

    def excess(self, total: int, capacity: Capacity, longest_queue: float) -> float:
        """Return the queue above `longest_queue` requests per ready pod, in requests times slots.

        Service times shorter than a slot are stretched to one, and the places of a pod with them: the same capacity.
        """
        pods, curve = self.pods, capacity.curve
        stretch = max(1.0, SLOT_S / capacity.service_s)
        kept = min(1.0, total / pods.ready) if pods.ready else 1.0
        flight = self.flight.scaled(kept * stretch)
        running, queue, over, places = flight.count, self.waiting, 0.0, capacity.most * stretch
        step_s = SLOT_S / STEPS
        for slot, rate in enumerate(self.demand):
            ready = pods.ready_after(total, slot * SLOT_S)
            for _ in range(STEPS):
                queue += rate * step_s
                if ready:
                    running -= flight.advance(step_s / stretch / curve.seconds(max(1.0, running / ready / stretch)))
                    admitted = max(0.0, min(queue, ready * places - running))
                    flight.admit(admitted)
                    running += admitted
                    queue -= admitted
            over += max(0.0, queue - ready * longest_queue)
        return over

    def enough(self, least: int, most: int, capacity: Capacity, longest_queue: float, tolerance: float) -> int:
        """Return the fewest replicas, from `least`, that leave hardly more excess than `most` replicas."""
        bound = self.excess(most, capacity, longest_queue) + tolerance
        while least < most:
            middle = (least + most) // 2
            if self.excess(middle, capacity, longest_queue) <= bound:
                most = middle
            else:
                least = middle + 1
        return least
