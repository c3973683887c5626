"""The ledger: requests that were admitted and are not settled yet.

Lives here: releasing and settling each request exactly once, whichever report of its end comes first.
Not here: admission (gateway.admission), the reports (gateway.serving, access_log), the amount charged (settlement).

In metadata mode an end is reported twice: the ext_proc stream closes (in flight goes down at once) and, up to a flush
interval later, the access-log entry brings the usage.  If no entry comes, the estimate stays charged.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.accounting.calibration import Calibration, KnownEnd
from gateway.accounting.estimates import Estimator, PromptSize
from gateway.accounting.outcomes import ObservedEnd, PodProof
from gateway.accounting.settlement import Estimate, Settlement, cost_of, settlement_for
from gateway.fleet.pools import Pools
from gateway.fleet.ticket import Ticket
from gateway.observability.metrics import Metrics
from ratelimit.kinds import NANO, NOTHING, Amounts
from ratelimit.limits import RENEW_S, Limiter, LimiterUnavailableError, Reservation
from ratelimit.prices import FREE, Prices
from routing.strategy import Finished
from routing.types import Decision, Endpoint
from traffic.counts import Counts

RENEWED_AT_ONCE = 16
"""Hard reservations that are renewed by one batch of calls: 5,000, one after the other, could take so long that the
last ones leave the window (chosen: some 1 ms of the loop)."""


@dataclass(slots=True)
class OpenRequest:
    """One admitted request, without its prompt."""

    id: str
    ticket: Ticket
    prompt: PromptSize
    estimate: Estimate
    estimator: Estimator
    reservation: Reservation | None = None  # None = no user, so no limits
    prices: Prices = FREE  # as they were when it was admitted
    toll: Reservation | None = None  # held in the limits of the API that it was sent to
    opened_s: float = 0.0
    stream_closed_s: float | None = None
    seen: ObservedEnd | None = None  # the part of its end that passed through the gateway, until Envoy tells the rest


class Tickets(Protocol):
    """Takes tickets back when requests end: the admission queue, or a fleet."""

    def release(self, ticket: Ticket, now_s: float) -> bool:
        """See `Fleet.release`."""
        ...

    def finish(self, ticket: Ticket, event: Finished) -> object:
        """See `Fleet.finish`."""
        ...


class Ledger:
    """Open requests by exchange id.  Not thread-safe: one event loop uses it.  Only `run` and `drain` wait."""

    def __init__(
        self,
        tickets: Tickets,
        limiter: Limiter,
        metrics: Metrics,
        grace_s: float,
        clock: Callable[[], float],
        *,
        calibration: Calibration,
        traffic: Counts,
        pools: Pools,
    ) -> None:
        self._tickets = tickets
        self._limiter = limiter
        self._metrics = metrics
        self._calibration = calibration
        self._traffic = traffic
        self._pools = pools
        self._grace_s = grace_s
        self._clock = clock
        self._open: dict[str, OpenRequest] = {}
        self._closed: dict[str, OpenRequest] = {}  # those of `_open` whose stream has closed, oldest first
        self._unsettled: dict[_Place, tuple[Reservation, Amounts, Amounts, dict[str, Amounts]]] = {}
        """By what counts them together: the first's reservation, what all reserved, what they used, and what each one
        changes."""
        self._hard: dict[str, Reservation] = {}  # hard reservations of requests that run, or wait for a pod
        self._settling: set[asyncio.Task[None]] = set()
        self.begun = 0
        """Requests that have come so far, whatever becomes of them."""
        self._undecided = 0  # requests that have come and are neither open nor refused
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self) -> None:
        """Note that a request has come, which `drain` waits for until it is open or `decided`."""
        self.begun += 1
        self._undecided += 1
        self._idle.clear()

    def decided(self) -> None:
        """Note that a request which has begun is open by now, or never will be."""
        self._undecided -= 1
        self._check_idle()

    def open(self, opened: OpenRequest) -> None:
        """Add a request that was just counted in flight."""
        opened.opened_s = self._clock()
        self._open[opened.id] = opened
        self._idle.clear()
        model = opened.ticket.request.model
        self._metrics.add_in_flight(model, 1)
        if not opened.estimate.is_free:
            self._traffic.send(model, opened.ticket.pod.endpoint.deployment)
        if opened.reservation is not None:
            if opened.reservation.is_hard:
                self.hold(opened.id, opened.reservation)
            self._metrics.add_reservations(1)
            self._metrics.count_tokens(model, "reserved", opened.estimate.tokens)
        if opened.toll is not None:
            self._metrics.add_reservations(1)

    def hold(self, exchange_id: str, reservation: Reservation) -> None:
        """Renew a hard reservation until its request has `ended`, or is given up before it was opened."""
        self._hard[exchange_id] = reservation

    def let_go(self, exchange_id: str) -> None:
        """Renew the reservation no longer."""
        self._hard.pop(exchange_id, None)

    def stream_closed(self, exchange_id: str, seen: ObservedEnd | None = None) -> None:
        """Release a request whose ext_proc stream closed before all of its end is known; the access log tells the rest.

        `seen` is the part of the end that passed through the gateway.
        """
        opened = self._open.get(exchange_id)
        if opened is None or opened.stream_closed_s is not None:
            return
        opened.stream_closed_s = self._clock()
        opened.seen = seen
        self._release(opened)
        self._closed[exchange_id] = opened

    def ended(self, exchange_id: str, end: ObservedEnd) -> None:
        """Release and settle a request by what is known of its end; do nothing for an id that was settled before."""
        opened = self._open.pop(exchange_id, None)
        if opened is None:
            return
        self._closed.pop(exchange_id, None)
        self.let_go(exchange_id)
        self._release(opened)
        if opened.seen is not None:
            end = end.with_seen(opened.seen)
        if opened.estimate.is_free:
            end = end._replace(usage=None, output_chunks=None)
        settlement = settlement_for(opened.estimate, opened.prompt, end, opened.estimator)
        self._learn(opened, end, settlement)
        if opened.reservation is not None:
            used = Amounts(settlement.requests, settlement.tokens)
            if opened.prices is not FREE:
                used = used._replace(cost=cost_of(settlement, end.usage, opened.prices, opened.reservation.amounts))
            self._settle_soon(opened.id, opened.reservation, used)
        self._count(opened, settlement)
        self._count_in_pool(opened, end, settlement)
        self._check_idle()

    def expire(self) -> None:
        """Settle by what was seen, or else by estimate, the requests whose stream closed before the grace period."""
        closed_before_s = self._clock() - self._grace_s
        for opened in list(self._closed.values()):
            if opened.stream_closed_s is None or opened.stream_closed_s > closed_before_s:
                return
            self.ended(opened.id, opened.seen or ObservedEnd())

    async def run(self) -> None:
        """Call `expire` on a timer until cancelled."""
        pause_s = self._grace_s / 4
        while True:
            due_s = self._clock() + pause_s
            await asyncio.sleep(pause_s)
            if self._clock() > due_s + pause_s:  # the worker did not get to run: entries that came are not read yet
                await asyncio.sleep(pause_s)
            self.expire()

    async def renew(self) -> None:
        """Let the hard reservations that are held count on, for ever; cancel to stop."""
        while True:
            await asyncio.sleep(RENEW_S)
            running = list(self._hard)
            for start in range(0, len(running), RENEWED_AT_ONCE):
                await asyncio.gather(*map(self._renew, running[start : start + RENEWED_AT_ONCE]))

    async def _renew(self, exchange_id: str) -> None:
        reservation = self._hard.get(exchange_id)
        if reservation is None:  # its request ended while others were renewed
            return
        try:
            await self._limiter.renew(exchange_id, reservation)
        except LimiterUnavailableError:
            self._metrics.count_error("renew")  # it is tried again before the reservation leaves the window

    async def drain(self, limit_s: float) -> bool:
        """Wait until all requests are decided, ended and settled; return False if `limit_s` pass before that."""
        try:
            async with asyncio.timeout(limit_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def __len__(self) -> int:
        """The number of open requests."""
        return len(self._open)

    def _release(self, opened: OpenRequest) -> None:
        if self._tickets.release(opened.ticket, self._clock()):
            self._metrics.add_in_flight(opened.ticket.request.model, -1)
            if opened.reservation is not None:
                self._limiter.release(opened.reservation)

    def _count(self, opened: OpenRequest, settlement: Settlement) -> None:
        model, estimate = opened.ticket.request.model, opened.estimate
        if settlement.computed and not estimate.is_free:
            input_tokens, output_tokens = settlement.input_tokens, settlement.output_tokens
            self._traffic.complete(
                model,
                estimate.prompt_tokens if input_tokens is None else input_tokens,
                estimate.output_tokens if output_tokens is None else output_tokens,
            )
        self._metrics.count_request(model, opened.ticket.decision.strategy, settlement.outcome)
        if settlement.input_tokens:
            self._metrics.count_tokens(model, "input", settlement.input_tokens)
        if settlement.output_tokens:
            self._metrics.count_tokens(model, "output", settlement.output_tokens)
        if opened.reservation is not None and settlement.tokens < estimate.tokens:
            self._metrics.count_tokens(model, "refunded", estimate.tokens - settlement.tokens)

    def _count_in_pool(self, opened: OpenRequest, end: ObservedEnd, settlement: Settlement) -> None:
        """Count the request, its tokens and its price where it was answered, and in the limits of the API there.

        Of tokens that nobody told the price is the estimate's.
        """
        served_by = _served_by(opened.ticket.decision, end)
        if not served_by.pool:
            return
        if served_by.is_api and end.retry_after_s:
            self._pools.close(served_by.pool, self._clock() + end.retry_after_s)
        tokens = {"input": settlement.input_tokens or 0, "output": settlement.output_tokens or 0}
        estimate, prices = opened.estimate, self._pools.prices(served_by.pool)
        expected = Amounts(1, estimate.tokens, prices.cost(estimate.prompt_tokens, estimate.output_tokens))
        cost = cost_of(settlement, end.usage, prices, expected)
        self._metrics.count_in_pool(
            opened.ticket.request.model, served_by.pool, settlement.outcome, tokens, cost / NANO
        )
        if opened.toll is not None:
            used = Amounts(settlement.requests, settlement.tokens, cost) if served_by.is_api else NOTHING
            self._settle_soon(opened.id, opened.toll, used)

    def _learn(self, opened: OpenRequest, end: ObservedEnd, settlement: Settlement) -> None:
        self._learn_tokens(opened, end, settlement)
        decision, duration_s, now_s = opened.ticket.decision, end.duration_s, self._clock()
        if duration_s is None and end.status:  # the answer passed through the gateway, so it ends now
            duration_s = now_s - opened.opened_s
        if end.compressed:
            duration_s = None  # teaches no speed, because the tokens are a guess
        served_by = _served_by(decision, end).id
        if settlement.outcome != "client_error" and self._calibration.follows(served_by):  # refused = not counted
            self._calibration.ended(served_by, _known_end(opened, end, settlement), now_s)
        self._tickets.finish(
            opened.ticket,
            Finished(
                pod=served_by,
                request=opened.ticket.request,
                now_s=now_s,
                failed=settlement.pod is PodProof.FAILED,
                answered=settlement.pod is PodProof.WORKS,
                computed=settlement.computed,
                duration_s=duration_s,
                input_tokens=settlement.input_tokens,
                output_tokens=settlement.output_tokens,
            ),
        )

    def _learn_tokens(self, opened: OpenRequest, end: ObservedEnd, settlement: Settlement) -> None:
        """Learn from the tokens that the engine reported: of prompts always, of output only from complete answers.

        Lengths of answers are learned from streams too whose tokens their bytes tell.
        """
        estimator, estimate = opened.estimator, opened.estimate
        user = opened.reservation.user if opened.reservation is not None else ""
        if end.usage is not None and end.usage.prompt_tokens is not None:
            estimator.learn_prompt(opened.prompt, end.usage.prompt_tokens)
        if settlement.outcome != "ok":
            return
        output_tokens = end.usage.completion_tokens if end.usage is not None else None
        if output_tokens is None:
            if estimate.streams and end.response_bytes and settlement.output_tokens is not None:
                estimator.learn_output(estimate.bounds, user, settlement.output_tokens)
            return
        estimator.learn_output(estimate.bounds, user, output_tokens)
        if end.output_chunks is not None:
            estimator.learn_chunks(end.output_chunks, output_tokens)
        elif estimate.streams and end.response_bytes is not None:
            estimator.streams.learn(estimate.shape, estimate.stream_size(end.response_bytes), output_tokens)

    def _settle_soon(self, exchange_id: str, reservation: Reservation, used: Amounts) -> None:
        """Settle in the next turn of the loop, so that a batch of access-log entries takes one call per key."""
        if not self._unsettled:
            asyncio.get_running_loop().call_soon(self._settle_all)
        key = _place(exchange_id, reservation)
        change = used.minus(reservation.amounts)
        others = self._unsettled.get(key)
        if others is None:
            self._unsettled[key] = (reservation, reservation.amounts, used, {exchange_id: change})
            return
        first, reserved, so_far, changes = others
        changes[exchange_id] = change
        self._unsettled[key] = (first, reserved.plus(reservation.amounts), so_far.plus(used), changes)

    def _settle_all(self) -> None:
        unsettled, self._unsettled = self._unsettled, {}
        for first, reserved, used, changes in unsettled.values():
            task = asyncio.ensure_future(self._settle(first._replace(amounts=reserved), used, changes))
            self._settling.add(task)
            task.add_done_callback(self._on_settled)

    async def _settle(self, reservation: Reservation, used: Amounts, changes: dict[str, Amounts]) -> None:
        try:
            await self._limiter.settle(reservation, used, changes)
        except LimiterUnavailableError:
            self._metrics.count_error("settle")  # the reservation stays charged until it leaves the window
        finally:
            self._metrics.add_reservations(-reservation.amounts.requests)

    def _on_settled(self, task: asyncio.Task[None]) -> None:
        self._settling.discard(task)
        self._check_idle()

    def _check_idle(self) -> None:
        if not (self._undecided or self._open or self._unsettled or self._settling):
            self._idle.set()


def _served_by(decision: Decision, end: ObservedEnd) -> Endpoint:
    """Return the pod that answered, which may be a fallback."""
    return next((pod for pod in decision.fallbacks if pod.address == end.upstream), decision.pod)


_Place = tuple[Reservation, str]


def _place(exchange_id: str, reservation: Reservation) -> _Place:
    """Return what reservations have in common that one call settles: all but their amounts; hard ones are alone."""
    return reservation._replace(amounts=NOTHING), exchange_id if reservation.is_hard else ""


def _known_end(opened: OpenRequest, end: ObservedEnd, settlement: Settlement) -> KnownEnd:
    """Return the end as calibration takes it: with the counts that were reported, and the size of the stream."""
    usage, estimate = end.usage, opened.estimate
    output_tokens = usage.completion_tokens if usage is not None else None
    if estimate.bounds.maximum == 0:  # the operation has no output
        output_tokens = 0
    knows_output = output_tokens is not None or (estimate.streams and end.response_bytes is not None)
    return KnownEnd(
        opened.estimator,
        opened.prompt,
        usage.prompt_tokens if usage is not None else None,
        estimate.shape,
        estimate.stream_size(end.response_bytes or 0),
        output_tokens,
        is_complete=settlement.outcome == "ok" and estimate.bounds.choices == 1 and knows_output,
    )
