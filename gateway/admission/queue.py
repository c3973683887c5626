"""Late binding: under overload requests wait in the gateway, and get their pod when one can start them soon.

Lives here: who waits, who goes, who is refused because the promise cannot be kept.  Not here: the order of users and
requests (routing.fair_queue), when a pod is open (routing.overload), timers and answers to clients (pipeline).

A model without a promise (`Slo`) has no queue.  Nobody waits while a pod is open and nobody else waits.
"""

from collections.abc import Callable, Hashable, Iterator
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import TypeGuard

from gateway.config.settings import RoutingSettings
from gateway.fleet.fleet import Fleet, Ticket
from routing.fair_queue import FairQueue
from routing.types import NoCandidateError, NoCandidateReason, RouteRequest, Slo

MARGIN = 0.9
"""Of the promised time to the first token, what a prediction may take (chosen: with 0.95 a fifth of those who wait in a
lasting flood miss the promise, with 0.9 a twentieth)."""
LOOK_S = 0.5
"""While somebody waits pods are looked at this often at least: one may have come or recovered (chosen)."""
ANYWHERE: Hashable = (None, None)
"""`Waiting.among` of who takes any pod of the model."""

Outcome = Ticket | NoCandidateError
Tell = Callable[[Outcome], None]


class Waiting:
    """A request that may have to wait.  `tell` hears once: its ticket, or why there is none."""

    __slots__ = ("last_s", "request", "slo", "strategy", "tell", "waits")

    def __init__(self, request: RouteRequest, slo: Slo, strategy: str, tell: Tell) -> None:
        self.request = request
        self.slo = slo
        self.strategy = strategy
        self.tell = tell
        self.last_s = inf  # when it must be sent at the latest
        self.waits = False

    @property
    def among(self) -> Hashable:
        """Which pods it may go to.  Who waits for some of them does not hold up those that may go elsewhere."""
        return (self.request.subset, self.request.selector)


class _Queue:
    """One model's: the order of those that wait, and by when they must be sent."""

    def __init__(self) -> None:
        self.order: FairQueue[Waiting] = FairQueue()
        self._deadlines: list[tuple[float, int, Waiting]] = []  # a heap; those that wait no more are passed over
        self._serial = count()

    def push(self, waiting: Waiting, work_s: float, now_s: float) -> None:
        waiting.waits = True
        self.order.push(waiting.request.user, waiting, work_s, now_s)
        heappush(self._deadlines, (waiting.last_s, next(self._serial), waiting))

    def remove(self, waiting: Waiting) -> None:
        waiting.waits = False
        self.order.remove(waiting.request.user, waiting)
        if not self.order:
            self._deadlines.clear()

    def before(self, waiting: Waiting) -> Waiting | None:
        """Return the first, itself included, that waits for the same pods or for any."""
        rivals = {ANYWHERE, waiting.among}
        return next((other for _, other in self.order if other.among in rivals), None)

    def next(self, closed: set[Hashable]) -> Waiting | None:
        """Return who is next; None when all that are before the next have closed pods."""
        if ANYWHERE in closed:
            return None
        return next((waiting for _, waiting in self.order if waiting.among not in closed), None)

    def late(self, now_s: float) -> Iterator[Waiting]:
        """Those whose time has come."""
        deadlines = self._deadlines
        while deadlines and (deadlines[0][0] <= now_s or not deadlines[0][2].waits):
            waiting = heappop(deadlines)[2]
            if waiting.waits:
                yield waiting

    @property
    def next_s(self) -> float:
        """When the next one's time comes at the earliest."""
        return self._deadlines[0][0] if self._deadlines else inf


class AdmissionQueue:
    """One queue per model."""

    def __init__(self, fleet: Fleet, settings: RoutingSettings) -> None:
        self.alarm: Callable[[float], None] = _never
        """Asked to have `advance` called at a time; of several times the earliest counts, and it may be past."""
        self._fleet = fleet
        self._longest_wait_s = settings.longest_wait_s
        self._output_weight = settings.output_weight
        self._queues: dict[str, _Queue] = {}
        fleet.listener = self

    def enter(self, waiting: Waiting, now_s: float) -> None:
        """Tell it at once, or let it wait."""
        model = waiting.request.model
        queue = self._queues.get(model)
        if queue is None:
            queue = self._queues[model] = _Queue()
        if queue.before(waiting) is None:
            outcome = self._routed(queue, waiting, now_s)
            if not _must_wait(outcome):
                waiting.tell(outcome)
                return
        self._wait(queue, waiting, now_s)

    def leave(self, waiting: Waiting) -> None:
        """It is not to be sent any more; `tell` will hear nothing."""
        self._queues[waiting.request.model].remove(waiting)

    def advance(self, now_s: float) -> None:
        """Send who can be sent, refuse who has waited in vain."""
        for queue in self._queues.values():
            self._advance(queue, now_s)

    def released(self, now_s: float) -> None:
        """See `fleet.Listener`."""
        self.advance(now_s)

    def on_actual_cost(self, request: RouteRequest, cost: float) -> None:
        """Count for the user what it was instead of what it was taken for."""
        queue = self._queues.get(request.model)
        if queue is not None and request.slo is not None:
            queue.order.charge(request.user, cost - self._expected_cost(request))

    def page(self) -> dict[str, dict[str, object]]:
        """Each model's queue, for /debug/waiting."""
        return {
            model: {"waiting": len(queue.order), "users": queue.order.page()} for model, queue in self._queues.items()
        }

    def waiting(self) -> dict[str, int]:
        """How many wait, by model."""
        return {model: len(queue.order) for model, queue in self._queues.items()}

    def _wait(self, queue: _Queue, waiting: Waiting, now_s: float) -> None:
        request, slo = waiting.request, waiting.slo
        try:
            opens_s, after_s, work_s, rate = self._fleet.estimate_wait(request, slo, now_s)
        except NoCandidateError as error:
            waiting.tell(error)
            return
        wait_s = opens_s + queue.order.work_ahead_s(request.user, work_s, now_s) / rate
        longest_s = min(MARGIN * slo.ttft_s - after_s, self._longest_wait_s)
        if wait_s > longest_s:
            waiting.tell(_overloaded(wait_s - max(0.0, longest_s)))
            return
        waiting.last_s = now_s + longest_s
        queue.push(waiting, work_s, now_s)
        if queue.before(waiting) is waiting:
            self._advance(queue, now_s)

    def _advance(self, queue: _Queue, now_s: float) -> None:
        closed: set[Hashable] = set()
        opens_s = inf
        while (waiting := queue.next(closed)) is not None:
            outcome = self._routed(queue, waiting, now_s)
            if _must_wait(outcome):
                closed.add(waiting.among)
                opens_s = min(opens_s, outcome.retry_after_s)
            else:
                queue.remove(waiting)
                waiting.tell(outcome)
        if closed:
            self._refuse_late(queue, opens_s, now_s)

    def _refuse_late(self, queue: _Queue, opens_s: float, now_s: float) -> None:
        """Whoever cannot be sent in time any more leaves; the alarm is for the next of them, or a pod that opens."""
        for waiting in queue.late(now_s):
            queue.remove(waiting)
            waiting.tell(_overloaded(opens_s))
        if queue.order:
            self.alarm(min(now_s + min(opens_s, LOOK_S), queue.next_s))

    def _routed(self, queue: _Queue, waiting: Waiting, now_s: float) -> Outcome:
        try:
            ticket = self._fleet.route(waiting.request, waiting.strategy, now_s)
        except NoCandidateError as error:
            return error
        queue.order.charge(waiting.request.user, self._expected_cost(waiting.request))
        return ticket

    def _expected_cost(self, request: RouteRequest) -> float:
        return request.prompt_tokens + self._output_weight * request.output_tokens


def _must_wait(outcome: Outcome) -> TypeGuard[NoCandidateError]:
    return isinstance(outcome, NoCandidateError) and outcome.why is NoCandidateReason.OVERLOADED


def _overloaded(retry_after_s: float) -> NoCandidateError:
    return NoCandidateError(NoCandidateReason.OVERLOADED, retry_after_s)


def _never(_at_s: float) -> None:
    """No timer: those that wait go when others end."""
