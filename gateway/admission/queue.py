"""The admission queue: under overload requests wait here, and get a pod when one can start them soon enough.

Lives here: which requests wait, which are sent, and which are refused because the promise cannot be kept.  Not here:
the order of users and requests (routing.fair_queue), when a pod is open (routing.overload), the line of replicas there
(routing.turns), answers to clients (admit).

A model without a promise (`Slo`) or pools that may be full has no queue.  No request waits while a pod is open and no
other waits.  One of a higher priority goes before all that have a promise, so that the others wait and are refused.
A prompt so long that even an idle pod would break the promise is best effort: no promise is made to it, it waits up to
`longest_wait_s`, and it is sent when no request with a promise waits for the same pods (see routing.overload).
Tickets come from the queue and go back to it, because a request that ends may let the next one start.
A model whose first pod is started on demand has a queue while it has none, with a promise or without: its requests wait
up to `scale_from_zero.longest_wait_s`, and the model is `asleep` (see gateway.admission.waking).
Over several replicas the queue is one: each tells the others who waits there and what its users are charged (`outbox`),
takes over what they tell (`apply`), and while requests wait elsewhere sends only in its turn.
"""

from collections.abc import Callable, Hashable, Iterator
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Protocol, TypeGuard

from gateway.config.from_zero import ScaleFromZeroSettings
from gateway.config.settings import RoutingSettings
from gateway.fleet.fleet import Fleet
from gateway.fleet.outbox import Outbox
from gateway.fleet.ticket import Ticket
from gateway.sharing.messages import Share, Waiting
from routing.fair_queue import FairQueue, flow
from routing.overload import MARGIN
from routing.strategy import Finished
from routing.turns import Turn, Turns
from routing.types import NoCandidateError, NoCandidateReason, RouteRequest, Slo

LOOK_S = 0.5
"""While requests wait, pods are looked at this often at least, in seconds: one may have recovered (chosen)."""
ANYWHERE: Hashable = (None, None)
"""`QueuedRequest.pod_choice` of a request that takes any pod of its model."""

Outcome = Ticket | NoCandidateError
"""The result for a queued request: its ticket, or the error that says why it has none."""


class Timer(Protocol):
    """Calls back once, at a time on the queue's clock."""

    def set(self, at_s: float, callback: Callable[[float], None]) -> None:
        """Have `callback` called with the time at `at_s`, which may be past; of several times the earliest counts."""
        ...


class QueuedRequest:
    """A request that may have to wait.  `on_outcome` is called once, unless the request leaves before."""

    __slots__ = (
        "awaited_first", "deadline_s", "entered_s", "flow", "is_best_effort", "is_waiting", "on_outcome", "request",
        "slo", "strategy",
    )  # fmt: skip

    def __init__(
        self, request: RouteRequest, slo: Slo | None, strategy: str, on_outcome: Callable[[Outcome], None]
    ) -> None:
        self.request = request
        self.flow = flow(request.user, request.priority)
        self.slo = slo
        self.strategy = strategy
        self.on_outcome = on_outcome
        self.entered_s = 0.0
        self.deadline_s = inf  # the latest time at which it can be sent and still keep the promise
        self.is_waiting = False
        self.is_best_effort = False  # no pod can keep the promise, so none is made
        self.awaited_first = False  # it waits, or waited, for the first pod of its model

    @property
    def pod_choice(self) -> Hashable:
        """The pods that it may go to.  Requests that wait for some pods do not hold up requests for other pods."""
        return (self.request.subset, self.request.selector)


class _ModelQueue:
    """The queue of one model: the order of its requests with a promise, of those without, and their deadlines."""

    def __init__(self, replica: str) -> None:
        self.order: FairQueue[QueuedRequest] = FairQueue()
        self.best_effort: FairQueue[QueuedRequest] = FairQueue()
        self._turns = Turns(replica)
        self._deadlines: list[tuple[float, int, QueuedRequest]] = []  # a heap; requests that left are skipped later
        self._serial = count()
        self.is_asleep = False  # requests wait for the model's first pod

    def push(self, queued: QueuedRequest, work_s: float, now_s: float) -> None:
        queued.is_waiting = True
        is_told = queued.pod_choice == ANYWHERE
        self.order_of(queued).push(queued.flow, queued, work_s, now_s, is_told=is_told)
        heappush(self._deadlines, (queued.deadline_s, next(self._serial), queued))

    def remove(self, queued: QueuedRequest) -> None:
        queued.is_waiting = False
        self.order_of(queued).remove(queued.flow, queued)
        if not self:
            self._deadlines.clear()
            self.is_asleep = False

    def __len__(self) -> int:
        """Return how many requests wait."""
        return len(self.order) + len(self.best_effort)

    def __bool__(self) -> bool:
        """Whether any request waits."""
        return bool(self.order or self.best_effort)

    def ahead_s(self, queued: QueuedRequest, work_s: float, now_s: float) -> float:
        """Return the seconds of work before a request that would join now."""
        ahead_s = self.order.work_ahead_s(queued.flow, work_s, now_s)
        return ahead_s + self.best_effort.work_ahead_s(queued.flow, work_s, now_s) if queued.is_best_effort else ahead_s

    @property
    def waits_elsewhere(self) -> bool:
        """Whether requests of this model wait at another replica."""
        return self.order.waits_elsewhere or self.best_effort.waits_elsewhere

    def turn(self, queued: QueuedRequest) -> Turn | None:
        """Return the turn in which the request may be sent; None = nothing waits elsewhere, so it is always its turn.

        A request without a promise has none while requests with a promise wait elsewhere.
        """
        if not self.waits_elsewhere:
            self._turns.clear()
            return None
        order = self.order if self.order.waits_elsewhere else self.order_of(queued)
        takes_part = order is self.order_of(queued) and order.may_be_served(queued.flow)
        return Turn(self._turns, order.rivals(), takes_part)

    def order_of(self, queued: QueuedRequest) -> FairQueue[QueuedRequest]:
        return self.best_effort if queued.is_best_effort else self.order

    def first_rival(self, queued: QueuedRequest) -> QueuedRequest | None:
        """Return the first request with a promise, itself included, that waits for the same pods or for any."""
        if not self.order:
            return None
        rivals = {ANYWHERE, queued.pod_choice}
        return next((other for _, other in self.order if other.pod_choice in rivals), None)

    def next(self, closed: set[Hashable]) -> QueuedRequest | None:
        """Return the first request whose pods are not known to be `closed`; without a promise, after all others."""
        if ANYWHERE in closed:
            return None
        found = next((queued for _, queued in self.order if queued.pod_choice not in closed), None)
        return found or next((queued for _, queued in self.best_effort if queued.pod_choice not in closed), None)

    def expired(self, now_s: float) -> Iterator[QueuedRequest]:
        """Yield the requests whose deadline has passed."""
        deadlines = self._deadlines
        while deadlines and (deadlines[0][0] <= now_s or not deadlines[0][2].is_waiting):
            queued = heappop(deadlines)[2]
            if queued.is_waiting:
                yield queued

    @property
    def next_deadline_s(self) -> float:
        """The earliest deadline; infinity when there is none."""
        return self._deadlines[0][0] if self._deadlines else inf


def _nobody_wakes() -> None:
    """Nobody starts pods."""


class AdmissionQueue:
    """One queue per model.  `timer` brings the queue back to requests that wait while nothing else happens.

    What other replicas must know is written into `outbox`; None = there are none.  `on_asleep` is called when a model
    falls asleep.
    """

    def __init__(
        self,
        fleet: Fleet,
        settings: RoutingSettings,
        timer: Timer,
        outbox: Outbox | None = None,
        *,
        from_zero: ScaleFromZeroSettings = ScaleFromZeroSettings(),  # noqa: B008 - a value
        on_asleep: Callable[[], None] = _nobody_wakes,
    ) -> None:
        self._fleet = fleet
        self._outbox = outbox or Outbox("")
        self._timer = timer
        self._from_zero = from_zero
        self._on_asleep = on_asleep
        self.promised: frozenset[str] = frozenset()
        """Models of which somebody starts the first pod when told that requests wait for it."""
        self._longest_wait_s = settings.longest_wait_s
        self._output_weight = settings.output_weight
        self._queues: dict[str, _ModelQueue] = {}

    def enter(self, queued: QueuedRequest, now_s: float) -> None:
        """Decide about the request at once, or let it wait."""
        model = queued.request.model
        queued.entered_s = now_s
        queue = self._queue_of(model)
        if queue.first_rival(queued) is None and not queue.waits_elsewhere:
            outcome = self._route(queue, queued, now_s)
            if not self._must_wait(outcome, queued):
                queued.on_outcome(outcome)
                return
        self._wait(queue, queued, now_s)

    def leave(self, queued: QueuedRequest) -> None:
        """Forget a request that waits; its `on_outcome` is never called."""
        self._remove(self._queues[queued.request.model], queued)

    def release(self, ticket: Ticket, now_s: float) -> bool:
        """See `Fleet.release`; the room that it makes is given to requests that wait."""
        released = self._fleet.release(ticket, now_s)
        if released:
            self.advance(now_s)
        return released

    def withdraw(self, ticket: Ticket, now_s: float) -> None:
        """See `Fleet.withdraw`; its user is charged nothing in the order of users."""
        self._charge_actual_cost(ticket.request, 0.0)
        self._fleet.withdraw(ticket, now_s)
        self.advance(now_s)

    def finish(self, ticket: Ticket, event: Finished) -> None:
        """See `Fleet.finish`; its user is charged the actual cost in the order of users."""
        cost = self._fleet.finish(ticket, event)
        if cost is not None:
            self._charge_actual_cost(event.request, cost)

    def apply(self, share: Share, now_s: float) -> None:
        """Take over what another replica tells: who waits there, and what its users were charged.

        Models without a promise here are ignored.  What waits here may be sent now.
        """
        for model, charges in share.charged.items():
            if self._fleet.slo(model) is not None:
                self._queue_of(model).order.charge_elsewhere(charges, in_all=share.everything)
        told = {waiting.model: waiting for waiting in share.waiting if self._fleet.slo(waiting.model) is not None}
        if share.everything:
            told = {model: Waiting(model, {}, {}) for model in self._queues} | told
        for model, waiting in told.items():
            queue = self._queue_of(model)
            queue.order.wait_elsewhere(share.replica, waiting.work_s)
            queue.best_effort.wait_elsewhere(share.replica, waiting.best_effort_s)
        self._on_siblings(now_s)

    def forget(self, replica: str, now_s: float) -> None:
        """Forget what waits at a replica that is gone; its turns go to those that are left."""
        for queue in self._queues.values():
            queue.order.wait_elsewhere(replica, {})
            queue.best_effort.wait_elsewhere(replica, {})
        self._on_siblings(now_s)

    def advance(self, now_s: float) -> None:
        """Send the requests that can be sent, and refuse those that waited past their deadline."""
        for queue in self._queues.values():
            if queue:
                self._advance(queue, now_s)

    def page(self) -> dict[str, dict[str, object]]:
        """Return each model's queue, for /debug/waiting."""
        return {
            model: {"waiting": len(queue), "users": queue.order.page(), "best_effort": queue.best_effort.page()}
            for model, queue in self._queues.items()
        }

    def waiting(self) -> dict[str, int]:
        """Return how many requests wait, by model."""
        return {model: len(queue) for model, queue in self._queues.items()}

    def asleep(self) -> frozenset[str]:
        """Return the models for whose first pod requests wait."""
        return frozenset(model for model, queue in self._queues.items() if queue.is_asleep)

    def awaits_first(self, request: RouteRequest, error: NoCandidateError) -> bool:
        """Return whether a request that no pod may take, as `error` says, may wait for the model's first pod.

        Not within a subset: the proxy has chosen among the pods that there were.
        """
        if error.why is not NoCandidateReason.NOT_READY or request.subset is not None:
            return False
        return request.model in self.promised or self._fleet.policy(request.model).scales_from_zero

    def _on_siblings(self, now_s: float) -> None:
        """Go on, because others wait or wait no more."""
        self._outbox.has_waiting_siblings = any(queue.waits_elsewhere for queue in self._queues.values())
        self.advance(now_s)

    def _queue_of(self, model: str) -> _ModelQueue:
        queue = self._queues.get(model)
        if queue is None:
            queue = self._queues[model] = _ModelQueue(self._outbox.replica)
            self._outbox.counters[model] = queue.order.counters
        return queue

    def _remove(self, queue: _ModelQueue, queued: QueuedRequest) -> None:
        queue.remove(queued)
        self._tell_waiting(queue, queued)

    def _tell_waiting(self, queue: _ModelQueue, queued: QueuedRequest) -> None:
        """Tell other replicas each user's work that waits here for any pod; for certain pods they would hold others."""
        self._outbox.wait(queued.request.model, queue.order.told_s, queue.best_effort.told_s)

    def _charge(self, queue: _ModelQueue, request: RouteRequest, tokens: float) -> None:
        user = flow(request.user, request.priority)
        queue.order.charge(user, tokens)
        self._outbox.charge(request.model, user, tokens)

    def _charge_actual_cost(self, request: RouteRequest, cost: float) -> None:
        """Replace the expected cost, which the user was charged when the request was routed."""
        queue = self._queues.get(request.model)
        if queue is not None and (request.slo is not None or self._fleet.pools.may_refuse(request.model)):
            self._charge(queue, request, cost - self._expected_cost(request))

    def _wait(self, queue: _ModelQueue, queued: QueuedRequest, now_s: float) -> None:
        request, slo = queued.request, queued.slo
        try:
            if slo is None:
                self._fleet.check(request)  # it waits for the first pod, or else until one of its pools has room
                self._push(queue, queued, 0.0, now_s, self._longest_wait_s)
                return
            opens_s, after_s, work_s, rate = self._fleet.estimate_wait(request, slo, now_s)
        except NoCandidateError as error:
            self._wait_for_first(queue, queued, error, now_s)
            return
        queued.is_best_effort = work_s > MARGIN * slo.ttft_s
        wait_s = opens_s + queue.ahead_s(queued, work_s, now_s) / rate
        longest_s = min(inf if queued.is_best_effort else MARGIN * slo.ttft_s - after_s, self._longest_wait_s)
        if wait_s > longest_s:
            queued.on_outcome(_overloaded(queued, wait_s - max(0.0, longest_s)))
            return
        self._push(queue, queued, work_s, now_s, longest_s)

    def _wait_for_first(self, queue: _ModelQueue, queued: QueuedRequest, why: NoCandidateError, now_s: float) -> None:
        """Let the request wait for the first pod of its model, unless none is started or too many wait."""
        limits = self._from_zero
        if len(queue) < limits.most_waiting and limits.longest_wait_s and self.awaits_first(queued.request, why):
            queued.awaited_first = True
            self._push(queue, queued, 0.0, now_s, limits.longest_wait_s)
        else:
            queued.on_outcome(why)

    def _push(self, queue: _ModelQueue, queued: QueuedRequest, work_s: float, now_s: float, longest_s: float) -> None:
        queued.deadline_s = now_s + longest_s
        queue.push(queued, work_s, now_s)
        self._tell_waiting(queue, queued)
        if queue.first_rival(queued) in {queued, None}:
            self._advance(queue, now_s)

    def _advance(self, queue: _ModelQueue, now_s: float) -> None:
        closed: set[Hashable] = set()
        opens_s, is_asleep = inf, False
        while (queued := queue.next(closed)) is not None:
            outcome = self._route(queue, queued, now_s)
            if self._must_wait(outcome, queued):
                closed.add(queued.pod_choice)
                is_asleep = outcome.why is NoCandidateReason.NOT_READY
                opens_s = min(opens_s, inf if is_asleep else outcome.retry_after_s)
            else:
                self._remove(queue, queued)
                queued.on_outcome(outcome)
        if is_asleep and not queue.is_asleep:
            self._on_asleep()
        queue.is_asleep = is_asleep
        if closed:
            self._refuse_expired(queue, opens_s, now_s)

    def _refuse_expired(self, queue: _ModelQueue, opens_s: float, now_s: float) -> None:
        """Refuse requests past their deadline, and set the timer for the next deadline or the next pod that opens."""
        none_came = NoCandidateError(NoCandidateReason.NOT_READY) if queue.is_asleep else None
        for queued in queue.expired(now_s):
            self._remove(queue, queued)
            queued.on_outcome(none_came or _overloaded(queued, opens_s))
        if queue:
            self._timer.set(min(now_s + min(opens_s, LOOK_S), queue.next_deadline_s), self.advance)

    def _route(self, queue: _ModelQueue, queued: QueuedRequest, now_s: float) -> Outcome:
        try:
            turn, waited_s = queue.turn(queued), now_s - queued.entered_s
            ticket = self._fleet.route(queued.request, queued.strategy, now_s, waited_s, turn)
        except NoCandidateError as error:
            return error
        self._charge(queue, queued.request, self._expected_cost(queued.request))
        return ticket

    def _must_wait(self, outcome: Outcome, queued: QueuedRequest) -> TypeGuard[NoCandidateError]:
        if not isinstance(outcome, NoCandidateError):
            return False
        return outcome.why is NoCandidateReason.OVERLOADED or self.awaits_first(queued.request, outcome)

    def _expected_cost(self, request: RouteRequest) -> float:
        return request.prompt_tokens + self._output_weight * request.output_tokens


def _overloaded(queued: QueuedRequest, retry_after_s: float) -> NoCandidateError:
    why = NoCandidateReason.NO_IDLE_POD if queued.is_best_effort else NoCandidateReason.OVERLOADED
    return NoCandidateError(why, retry_after_s)
