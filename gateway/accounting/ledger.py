"""Requests that were admitted and are not settled yet.

Lives here: who learns of a request's end first, what is charged, exactly-once release and settlement.
Not here: admission (pipeline), where the news comes from (extproc, accesslog).

In metadata mode the end has two witnesses: the ext_proc stream closes (in flight goes down at once) and, up to a flush
interval later, the access-log entry brings usage.  An entry that never comes leaves the estimate standing.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.accounting.estimates import Estimator, OutputBounds, PromptSize
from gateway.accounting.settlement import Estimate, ObservedEnd, Settlement, settle
from gateway.fleet.fleet import Fleet, Ticket
from gateway.observability.metrics import Metrics
from ratelimit.limits import NOTHING, Amounts, Limiter, LimiterUnavailableError, Reservation
from routing.strategy import Finished


@dataclass(slots=True)
class OpenRequest:
    """One admitted request.  It does not hold the prompt."""

    id: str
    ticket: Ticket
    prompt: PromptSize
    bounds: OutputBounds
    estimate: Estimate
    estimator: Estimator
    reservation: Reservation | None = None  # None: nobody's limits
    opened_s: float = 0.0
    ended_s: float | None = None  # when its stream closed


class Ledger:
    """Open requests by exchange id.  One event loop; nothing but `run` and `drain` waits."""

    def __init__(
        self, fleet: Fleet, limiter: Limiter, metrics: Metrics, grace_s: float, clock: Callable[[], float]
    ) -> None:
        self._fleet = fleet
        self._limiter = limiter
        self._metrics = metrics
        self._grace_s = grace_s
        self._clock = clock
        self._open: dict[str, OpenRequest] = {}
        self._ended: dict[str, OpenRequest] = {}  # of `_open`: closed, waiting for their entry, oldest first
        self._charges: dict[tuple[str, int, str], tuple[Reservation, Amounts]] = {}
        """By user, slot and model: the reservations in one, and what they used."""
        self._settling: set[asyncio.Task[None]] = set()
        self._awaited = 0  # requests that wait for a pod
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def awaiting(self) -> Iterator[None]:
        """A request waits for a pod and may be opened: until then a drain is not over."""
        self._awaited += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._awaited -= 1
            self._note_idle()

    def open(self, opened: OpenRequest) -> None:
        """Enter a request that was just counted in flight."""
        opened.opened_s = self._clock()
        self._open[opened.id] = opened
        self._idle.clear()
        model = opened.ticket.request.model
        self._metrics.in_flight(model, 1)
        if opened.reservation is not None:
            self._metrics.reservation(1)
            self._metrics.tokens(model, "reserved", opened.estimate.tokens)

    def stream_closed(self, exchange: str) -> None:
        """The ext_proc stream ended without the response having passed through it."""
        opened = self._open.get(exchange)
        if opened is None or opened.ended_s is not None:
            return
        opened.ended_s = self._clock()
        self._release(opened)
        self._ended[exchange] = opened

    def ended(self, exchange: str, seen: ObservedEnd) -> None:
        """The end was seen with what is known about it.  An unknown exchange was settled before."""
        opened = self._open.pop(exchange, None)
        if opened is None:
            return
        self._ended.pop(exchange, None)
        self._release(opened)
        settlement = settle(opened.estimate, opened.prompt, seen, opened.estimator)
        self._learn(opened, seen, settlement)
        if opened.reservation is not None:
            self._charge(opened.reservation, Amounts(1, settlement.tokens))
        self._count(opened, settlement)
        self._note_idle()

    def failed_at(self, address: str) -> None:
        """An engine failed an attempt; what becomes of the request, which Envoy sends on, is told by its end."""
        self._fleet.failed_at(address, self._clock())

    def expire(self) -> None:
        """Settle by estimate what closed longer ago than the grace."""
        deadline = self._clock() - self._grace_s
        for opened in list(self._ended.values()):
            if opened.ended_s is None or opened.ended_s > deadline:
                return
            self.ended(opened.id, ObservedEnd())

    async def run(self) -> None:
        """Expire for ever; cancel to stop."""
        while True:
            await asyncio.sleep(self._grace_s / 4)
            self.expire()

    async def drain(self, limit_s: float) -> bool:
        """Wait until nothing waits or is open and all is settled, at most `limit_s`; False when the time was up."""
        try:
            async with asyncio.timeout(limit_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def __len__(self) -> int:
        """Requests not settled yet."""
        return len(self._open)

    def _release(self, opened: OpenRequest) -> None:
        if self._fleet.release(opened.ticket, self._clock()):
            self._metrics.in_flight(opened.ticket.request.model, -1)
            if opened.reservation is not None:
                self._limiter.release(opened.reservation)

    def _count(self, opened: OpenRequest, settlement: Settlement) -> None:
        model = opened.ticket.request.model
        self._metrics.request(model, opened.ticket.decision.strategy, settlement.outcome)
        if settlement.input_tokens:
            self._metrics.tokens(model, "input", settlement.input_tokens)
        if settlement.output_tokens:
            self._metrics.tokens(model, "output", settlement.output_tokens)
        if opened.reservation is not None and settlement.tokens < opened.estimate.tokens:
            self._metrics.tokens(model, "refunded", opened.estimate.tokens - settlement.tokens)

    def _learn(self, opened: OpenRequest, seen: ObservedEnd, settlement: Settlement) -> None:
        if seen.usage is not None and seen.usage.prompt_tokens is not None:
            opened.estimator.learn_prompt(opened.prompt, seen.usage.prompt_tokens)
            if opened.estimate.streams and seen.response_bytes is not None and seen.usage.completion_tokens is not None:
                opened.estimator.learn_stream(seen.response_bytes, seen.usage.completion_tokens)
        if settlement.outcome == "ok" and seen.usage is not None and seen.usage.completion_tokens is not None:
            opened.estimator.learn_output(opened.bounds, opened.ticket.request.user, seen.usage.completion_tokens)
        decision, duration_s = opened.ticket.decision, seen.duration_s
        if duration_s is None and seen.status:  # the answer passed through us: its end is now
            duration_s = self._clock() - opened.opened_s
        served = [pod.id for pod in decision.fallbacks if pod.address == seen.upstream] or [decision.pod.id]
        self._fleet.finish(
            opened.ticket,
            Finished(
                pod=served[0],
                request=opened.ticket.request,
                now_s=self._clock(),
                failed=settlement.failed,
                duration_s=duration_s,
                input_tokens=settlement.input_tokens,
                output_tokens=settlement.output_tokens,
            ),
        )

    def _charge(self, reservation: Reservation, used: Amounts) -> None:
        """Settle soon: entries come in batches, and those of one user, slot and model are one call."""
        if not self._charges:
            asyncio.get_running_loop().call_soon(self._settle_charges)
        key = (reservation.user, reservation.slot, reservation.model)
        held, so_far = self._charges.get(key, (reservation._replace(amounts=NOTHING), NOTHING))
        held = held._replace(amounts=held.amounts.plus(reservation.amounts))
        self._charges[key] = (held, so_far.plus(used))

    def _settle_charges(self) -> None:
        charges, self._charges = self._charges, {}
        for held, used in charges.values():
            task = asyncio.ensure_future(self._settle(held, used))
            self._settling.add(task)
            task.add_done_callback(self._settled)

    async def _settle(self, reservation: Reservation, used: Amounts) -> None:
        try:
            await self._limiter.settle(reservation, used)
        except LimiterUnavailableError:
            self._metrics.error("settle")  # the reservation leaves with its window
        finally:
            self._metrics.reservation(-reservation.amounts.requests)

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._settling.discard(task)
        self._note_idle()

    def _note_idle(self) -> None:
        if not (self._awaited or self._open or self._charges or self._settling):
            self._idle.set()
