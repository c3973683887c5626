"""Replays a trace on a fleet of engine models, in virtual time.

Lives here: the order of events.  Not here: routing (the router is a parameter; the gateway's fleet is one), the engines
(core), limits (admission), the measures (summary).

Time jumps from event to event: an arrival, the end of a pass on a pod, an outage, the router's timers.  At the same
instant arrivals come first, so that a pod's next pass includes them.  The router sees what a gateway sees: its own
counts, the ends of requests, health, and scraped metrics (scraping).  `slo` applies to all requests.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from math import inf
from typing import Generic, Protocol, TypeVar

from ratelimit.limits import Reservation
from routing.strategy import Finished
from routing.types import Decision, NoCandidateError, PodId, RouteRequest, Slo
from simulator.core.engine import Engine, Step, TooLongError
from simulator.core.sequence import Sequence as Answer
from simulator.replay.admission import Admission
from simulator.replay.outages import Outage, OutageKind
from simulator.replay.scraping import Scraping
from simulator.replay.traces import TraceRequest, block_hashes, unknown_blocks

MODEL = "model"
"""The model of all requests of a trace."""

NO_STEP = Step(0.0)
SOONEST_S = 0.001
"""The shortest time that a timer is set for, in seconds."""


class Routed(Protocol):
    """A request in flight, as the router remembers it."""

    @property
    def decision(self) -> Decision: ...  # noqa: D102 - the type says it
    @property
    def request(self) -> RouteRequest: ...  # noqa: D102 - the type says it


Ticket = TypeVar("Ticket", bound=Routed)


class Router(Protocol[Ticket]):
    """Chooses pods: the seam to the gateway, which `forebay.simulation.comparison.Gateway` implements."""

    def enter(
        self, request: RouteRequest, strategy: str, now_s: float, tell: Callable[[Ticket | NoCandidateError], None]
    ) -> None:
        """Choose a pod and count the request there, or queue it; `tell` gets the outcome, at once or later."""
        ...

    def release(self, ticket: Ticket, now_s: float) -> bool:
        """Take a request that has ended off the counts."""
        ...

    def finish(self, ticket: Ticket, event: Finished) -> None:
        """Learn from a request's end."""
        ...

    def set_health(self, pod_id: PodId, healthy: bool) -> bool:
        """Take over the result of a health check."""
        ...


class VirtualTime:
    """The time of a replay, and the timers that its router may set; made before both."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._timers: dict[Callable[[float], None], float] = {}

    @property
    def timer_s(self) -> float:
        """The time of the next timer; infinity = none is set."""
        return min(self._timers.values(), default=inf)

    def set(self, at_s: float, callback: Callable[[float], None]) -> None:
        """Have `callback` called with the time at `at_s`; of several times for the same one the earliest counts."""
        at_s = max(at_s, self.now_s + SOONEST_S)
        self._timers[callback] = min(at_s, self._timers.get(callback, inf))

    def fire(self) -> None:
        """Call back: the next timer's time has come."""
        callback = min(self._timers, key=self._timers.__getitem__)
        self.now_s = self._timers.pop(callback)
        callback(self.now_s)


@dataclass(slots=True)
class Call:
    """One request of the trace and its outcome.  Times are in seconds from the beginning of the trace."""

    request: TraceRequest
    arrived_s: float
    dispatched_s: float  # when it was sent to a pod or refused
    answer: Answer
    pod: PodId = ""
    why: str = ""  # why it was refused; empty: it was not
    reservation: Reservation | None = None

    @property
    def served(self) -> bool:
        """Whether the last token came."""
        return self.answer.ended_s is not None

    @property
    def ttft_s(self) -> float:
        """Time from arrival to the first token; the request must have been served."""
        return (self.answer.first_token_s or 0.0) - self.arrived_s

    @property
    def e2e_s(self) -> float:
        """Time from arrival to the last token; the request must have been served."""
        return (self.answer.ended_s or 0.0) - self.arrived_s


class Replay(Generic[Ticket]):
    """One replay.  All engines must have the same block size; `speedup` divides the arrival times of the trace."""

    def __init__(
        self,
        *,
        trace: Iterable[TraceRequest],
        engines: Mapping[PodId, Engine],
        router: Router[Ticket],
        time: VirtualTime,
        strategy: str,
        admission: Admission,
        speedup: float = 1.0,
        outages: Iterable[Outage] = (),
        slo: Slo | None = None,
        scraping: Scraping | None = None,
    ) -> None:
        self._trace = trace
        self._engines = engines
        self._router = router
        self._strategy = strategy
        self._admission = admission
        self._speedup = speedup
        self._scraping = scraping or Scraping(engines, (), inf)
        self._block_tokens = next(iter(engines.values())).profile.block_tokens
        self._order = count()
        self._events: list[tuple[float, int, PodId, Step | Outage]] = [  # a heap
            (outage.at_s, next(self._order), outage.pod, outage) for outage in outages
        ]
        heapq.heapify(self._events)
        self._has_outages = bool(self._events)
        self._passes: dict[PodId, Step] = {}  # the pass under way of each pod that is not idle
        self._down: set[PodId] = set()
        self._in_flight: dict[Answer, tuple[Call, Ticket]] = {}
        self._slo = slo
        self._time = time
        self.calls: list[Call] = []  # in the order of arrival

    def run(self, progress: Callable[[int], None] = lambda _: None) -> Sequence[Call]:
        """Replay the whole trace; `progress` is called with 1 for each arrival."""
        for serial, request in enumerate(self._trace):
            arrived_s = request.timestamp / 1000 / self._speedup
            self._advance(arrived_s)
            self._time.now_s = arrived_s
            self._arrive(serial, request, arrived_s)
            progress(1)
        self._advance(inf)
        return self.calls

    def _advance(self, before_s: float) -> None:
        """Handle all events before this time, and those that follow from them."""
        while (next_s := self._next_s()) < before_s:
            if self._time.timer_s == next_s:
                self._scraping.advance(next_s, self._passes)
                self._time.fire()
                continue
            now_s, _, pod, event = heapq.heappop(self._events)
            self._time.now_s = now_s
            self._scraping.advance(now_s, self._passes)
            if isinstance(event, Outage):
                self._begin_outage(event, now_s)
            elif self._passes.get(pod) is event:  # else the engine crashed meanwhile
                for answer in event.ended:
                    self._close(answer, now_s)
                self._begin_pass(pod, now_s, before_s)

    def _next_s(self) -> float:
        """Return when something happens next; infinity when nothing will."""
        return min(self._events[0][0] if self._events else inf, self._time.timer_s)

    def _begin_outage(self, outage: Outage, now_s: float) -> None:
        pod, engine = outage.pod, self._engines[outage.pod]
        if outage.kind is OutageKind.CRASH:
            self._crash(pod, now_s)
            self._push(now_s + outage.duration_s, pod, Step(outage.duration_s))
        engine.pause_until(now_s + outage.duration_s)

    def _crash(self, pod: PodId, now_s: float) -> None:
        """Crash the engine: its requests and its cache are lost, its totals stay for the summary."""
        engine, step = self._engines[pod], self._passes.get(pod, NO_STEP)
        totals = engine.totals
        lost = (*step.ended, *engine.crash())
        engine.totals = totals
        for answer in lost:
            answer.ended_s = None
            call, _ = self._in_flight[answer]
            self._close(answer, now_s)
            self._refuse(call, "lost")
        self._router.set_health(pod, False)
        self._down.add(pod)

    def _begin_pass(self, pod: PodId, now_s: float, before_s: float) -> None:
        self._scraping.end_pass(pod, now_s)
        if pod in self._down:
            self._down.remove(pod)
            self._router.set_health(pod, True)
        run = self._engines[pod].run(now_s, self._undisturbed_until_s(now_s, before_s))
        if run is None:
            del self._passes[pod]
        else:
            self._push(run[0], pod, run[1])

    def _undisturbed_until_s(self, now_s: float, before_s: float) -> float:
        """Return until when surely nothing touches an engine or looks at it; the next arrival is at `before_s`."""
        if self._has_outages:
            return now_s
        if self._slo is not None:  # any request that ends may let the router send one that waits
            before_s = min(before_s, self._next_s())
        return min(before_s, self._time.timer_s, self._scraping.next_s)

    def _push(self, end_s: float, pod: PodId, step: Step) -> None:
        self._passes[pod] = step
        heapq.heappush(self._events, (end_s, next(self._order), pod, step))

    def _arrive(self, serial: int, request: TraceRequest, now_s: float) -> None:
        prompt = block_hashes(request, self._block_tokens)
        full = (request.input_length + request.output_length) // self._block_tokens
        hashes = [*prompt, *unknown_blocks(serial, full - len(prompt))]  # never found, but they occupy blocks
        call = Call(request, now_s, now_s, Answer(request.input_length, request.output_length, hashes))
        self.calls.append(call)
        call.why, call.reservation = self._admission.reserve(request, now_s)
        if not call.why:
            self._dispatch(call, tuple(prompt), now_s)

    def _dispatch(self, call: Call, prompt: tuple[int, ...], now_s: float) -> None:
        request = call.request
        route_request = RouteRequest(
            MODEL,
            request.user,
            prompt_tokens=request.input_length,
            output_tokens=self._admission.output_tokens,
            blocks=prompt,
            block_tokens=self._block_tokens,
            slo=self._slo,
        )
        self._scraping.advance(now_s, self._passes)
        self._scraping.before_decision(now_s)
        self._router.enter(route_request, self._strategy, now_s, partial(self._routed, call))

    def _routed(self, call: Call, outcome: Ticket | NoCandidateError) -> None:
        now_s = call.dispatched_s = self._time.now_s
        if isinstance(outcome, NoCandidateError):
            self._refuse(call, outcome.why.value)
            return
        pod = outcome.decision.pod.id
        self._in_flight[call.answer] = (call, outcome)
        try:
            self._engines[pod].add(call.answer, now_s)
        except TooLongError:
            self._close(call.answer, now_s)
            self._refuse(call, "too-long")
            return
        call.pod = pod
        if pod not in self._passes:  # its pass begins after all arrivals of this instant
            self._push(now_s, pod, NO_STEP)

    def _refuse(self, call: Call, why: str) -> None:
        call.why = why
        self._admission.settle(call.reservation, 0)

    def _close(self, answer: Answer, now_s: float) -> None:
        """End a request, complete or not: settle its tokens, report it to the router."""
        call, ticket = self._in_flight.pop(answer)
        answer.hashes = ()  # the hashes of all requests of a trace would take hundreds of megabytes
        request = call.request
        self._router.release(ticket, now_s)
        self._router.finish(
            ticket,
            Finished(
                ticket.decision.pod.id,
                ticket.request,
                now_s,
                failed=not call.served,
                duration_s=now_s - call.dispatched_s,
                first_byte_s=None,  # engines send headers at once, so it would say nothing about tokens
                input_tokens=request.input_length if call.served else None,
                output_tokens=request.output_length if call.served else None,
            ),
        )
        if call.served:
            self._admission.settle(call.reservation, request.input_length + request.output_length)
