"""A trace replayed on a fleet of engine models, in virtual time.

Lives here: the order of events.  Not here: routing (whatever is given as the router; the gateway's fleet is one), the
engines (core), who may send (admission), what it all comes to (summary).

Time jumps from event to event: an arrival, the end of a pass on a pod, an outage, the router's alarm.  At the same
instant arrivals come first, so a pod's next pass has them.  The router sees what a gateway sees: its own counts, ends,
health, and what engines say of themselves when it is their turn (scraping).  `slo` is what requests are promised.
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
"""The one model that all requests of a trace ask for."""

NO_STEP = Step(0.0)
ALARM = Step(0.0)
ALARM_S = 0.001
"""No alarm comes sooner."""


class Routed(Protocol):
    """What a router remembers of a request in flight."""

    @property
    def decision(self) -> Decision: ...  # noqa: D102 - the type says it
    @property
    def request(self) -> RouteRequest: ...  # noqa: D102 - the type says it


Ticket = TypeVar("Ticket", bound=Routed)


class Router(Protocol[Ticket]):
    """The seam to the gateway: `gateway.simulate.Gateway`."""

    def enter(
        self, request: RouteRequest, strategy: str, now_s: float, tell: Callable[[Ticket | NoCandidateError], None]
    ) -> None:
        """Choose a pod and count the request there, or let it wait for one; `tell` hears of it, at once or later."""
        ...

    def advance(self, now_s: float) -> None:
        """A time has come that it asked for: see `Replay.alarm`."""
        ...

    def release(self, ticket: Ticket, now_s: float) -> bool:
        """The request has ended."""
        ...

    def finish(self, ticket: Ticket, event: Finished) -> None:
        """Learn from its end."""
        ...

    def set_health(self, pod_id: PodId, healthy: bool) -> bool:
        """What health checks found."""
        ...


@dataclass(slots=True)
class Call:
    """What became of one request of the trace.  Times are seconds from its beginning."""

    request: TraceRequest
    arrived_s: float
    dispatched_s: float  # when it went to a pod or was refused
    answer: Answer
    pod: PodId = ""
    why: str = ""  # it was refused; empty: it was not
    reservation: Reservation | None = None

    @property
    def served(self) -> bool:
        """Whether its last token came."""
        return self.answer.ended_s is not None

    @property
    def ttft_s(self) -> float:
        """From its arrival to its first token; it must have been served."""
        return (self.answer.first_token_s or 0.0) - self.arrived_s

    @property
    def e2e_s(self) -> float:
        """From its arrival to its last token; it must have been served."""
        return (self.answer.ended_s or 0.0) - self.arrived_s


class Replay(Generic[Ticket]):
    """One run.  All engines have the same block size; `speedup` divides the times of the trace."""

    def __init__(
        self,
        *,
        trace: Iterable[TraceRequest],
        engines: Mapping[PodId, Engine],
        router: Router[Ticket],
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
        self._scraping = scraping or Scraping(engines, lambda _pod, _now_s: None, inf)
        self._block_tokens = next(iter(engines.values())).profile.block_tokens
        self._order = count()
        self._events: list[tuple[float, int, PodId, Step | Outage]] = [  # a heap: ends of passes, outages to come
            (outage.at_s, next(self._order), outage.pod, outage) for outage in outages
        ]
        heapq.heapify(self._events)
        self._under_way: dict[PodId, Step] = {}  # by pod; others are idle
        self._down: set[PodId] = set()
        self._open: dict[Answer, tuple[Call, Ticket]] = {}
        self._slo = slo
        self._now_s = 0.0
        self._alarm_s = inf  # the earliest that was asked for
        self.calls: list[Call] = []  # in the order of arrival

    def run(self, progress: Callable[[int], None] = lambda _: None) -> Sequence[Call]:
        """Replay all of it; `progress` is told of each arrival and how many there were."""
        for serial, request in enumerate(self._trace):
            arrived_s = request.timestamp / 1000 / self._speedup
            self._advance(arrived_s)
            self._now_s = arrived_s
            self._arrive(serial, request, arrived_s)
            progress(1)
        self._advance(inf)
        return self.calls

    def alarm(self, at_s: float) -> None:
        """Have the router's `advance` called then; of several times the earliest counts."""
        at_s = max(at_s, self._now_s + ALARM_S)
        if at_s < self._alarm_s:
            self._alarm_s = at_s
            heapq.heappush(self._events, (at_s, next(self._order), "", ALARM))

    def _ring(self, now_s: float) -> None:
        if now_s == self._alarm_s:  # else it was put forward
            self._alarm_s = inf
            self._router.advance(now_s)

    def _advance(self, before_s: float) -> None:
        """Let all happen that happens before then, and what follows from it."""
        while self._events and self._events[0][0] < before_s:
            now_s, _, pod, event = heapq.heappop(self._events)
            self._now_s = now_s
            self._scraping.advance(now_s, self._under_way)
            if isinstance(event, Outage):
                self._strike(event, now_s)
            elif event is ALARM:
                self._ring(now_s)
            elif self._under_way.get(pod) is event:  # else the engine crashed meanwhile
                for answer in event.ended:
                    self._close(answer, now_s)
                self._begin_pass(pod, now_s)

    def _strike(self, outage: Outage, now_s: float) -> None:
        pod, engine = outage.pod, self._engines[outage.pod]
        if outage.kind is OutageKind.CRASH:
            self._crash(pod, now_s)
            self._push(now_s + outage.for_s, pod, Step(outage.for_s))
        engine.pause_until(now_s + outage.for_s)

    def _crash(self, pod: PodId, now_s: float) -> None:
        """All that it has is lost; what it had done stays counted."""
        engine, under_way = self._engines[pod], self._under_way.get(pod, NO_STEP)
        totals = engine.totals
        lost = (*under_way.ended, *engine.crash())
        engine.totals = totals
        for answer in lost:
            answer.ended_s = None
            call, _ = self._open[answer]
            self._close(answer, now_s)
            self._refuse(call, "lost")
        self._router.set_health(pod, False)
        self._down.add(pod)

    def _begin_pass(self, pod: PodId, now_s: float) -> None:
        self._scraping.end_pass(pod, now_s)
        if pod in self._down:
            self._down.remove(pod)
            self._router.set_health(pod, True)
        step = self._engines[pod].step(now_s)
        if step is None:
            del self._under_way[pod]
        else:
            self._push(now_s + step.duration_s, pod, step)

    def _push(self, end_s: float, pod: PodId, step: Step) -> None:
        self._under_way[pod] = step
        heapq.heappush(self._events, (end_s, next(self._order), pod, step))

    def _arrive(self, serial: int, request: TraceRequest, now_s: float) -> None:
        prompt = block_hashes(request, self._block_tokens)
        full = (request.input_length + request.output_length) // self._block_tokens
        hashes = [*prompt, *unknown_blocks(serial, full - len(prompt))]  # never found, but they take their room
        call = Call(request, now_s, now_s, Answer(request.input_length, request.output_length, hashes))
        self.calls.append(call)
        call.why, call.reservation = self._admission.ask(request, now_s)
        if not call.why:
            self._dispatch(call, tuple(prompt), now_s)

    def _dispatch(self, call: Call, prompt: tuple[int, ...], now_s: float) -> None:
        request = call.request
        asked = RouteRequest(
            MODEL,
            request.user,
            prompt_tokens=request.input_length,
            output_tokens=self._admission.output_tokens,
            blocks=prompt,
            block_tokens=self._block_tokens,
            slo=self._slo,
        )
        self._scraping.advance(now_s, self._under_way)
        self._scraping.decide(now_s)
        self._router.enter(asked, self._strategy, now_s, partial(self._routed, call))

    def _routed(self, call: Call, outcome: Ticket | NoCandidateError) -> None:
        now_s = call.dispatched_s = self._now_s
        if isinstance(outcome, NoCandidateError):
            self._refuse(call, outcome.why.value)
            return
        pod = outcome.decision.pod.id
        self._open[call.answer] = (call, outcome)
        try:
            self._engines[pod].add(call.answer, now_s)
        except TooLongError:
            self._close(call.answer, now_s)
            self._refuse(call, "too-long")
            return
        call.pod = pod
        if pod not in self._under_way:  # its pass begins when all that arrives at this instant has
            self._push(now_s, pod, NO_STEP)

    def _refuse(self, call: Call, why: str) -> None:
        call.why = why
        self._admission.settle(call.reservation, 0)

    def _close(self, answer: Answer, now_s: float) -> None:
        """A request has ended, done or not: settle its tokens, tell the router."""
        call, ticket = self._open.pop(answer)
        answer.hashes = ()  # those of all requests together would be hundreds of megabytes
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
                first_byte_s=None,  # engines send headers at once: it would say nothing about tokens
                input_tokens=request.input_length if call.served else None,
                output_tokens=request.output_length if call.served else None,
            ),
        )
        if call.served:
            self._admission.settle(call.reservation, request.input_length + request.output_length)
