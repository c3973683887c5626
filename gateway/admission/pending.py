"""A request whose admission is pending: it gets a pod at once, or waits in the admission queue.

Lives here: the future that the admission awaits, and the queue's timer on the event loop.  Not here: the order in which
requests are sent (queue).
"""

import asyncio
from collections.abc import Callable

from gateway.admission.queue import AdmissionQueue, Outcome, QueuedRequest
from gateway.fleet.ticket import Ticket
from gateway.openai.errors import ClientGoneError
from routing.types import NoCandidateError, RouteRequest, Slo

SOONEST_S = 0.001
"""The shortest time that a timer is set for, in seconds (chosen: a millisecond makes no difference to a pod)."""


class PendingAdmission:
    """Enters the queue when it is made.  Either `ticket` is awaited to its end, or `leave` is called."""

    def __init__(
        self, queue: AdmissionQueue, request: RouteRequest, slo: Slo | None, strategy: str, now_s: float
    ) -> None:
        self._queue = queue
        self._outcome: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self._queued = QueuedRequest(request, slo, strategy, self._outcome.set_result)
        queue.enter(self._queued, now_s)

    @property
    def is_waiting(self) -> bool:
        """Whether there is no outcome yet."""
        return not self._outcome.done()

    @property
    def awaited_first(self) -> bool:
        """Whether it waits, or waited, for the first pod of its model."""
        return self._queued.awaited_first

    def leave(self) -> None:
        """Give the request up if it still waits; `ticket` then raises ClientGoneError."""
        if self._queued.is_waiting:
            self._queue.leave(self._queued)
            self._outcome.set_result(None)

    async def ticket(self) -> Ticket:
        """Return its ticket.  Raises NoCandidateError, and ClientGoneError after `leave`.

        Precondition: nothing cancels this; transports let an admission end even when its client has left.
        """
        outcome = await self._outcome
        if outcome is None:
            raise ClientGoneError("the client has left")
        if isinstance(outcome, NoCandidateError):
            raise outcome
        return outcome


class LoopTimer:
    """The queue's timer on the running event loop; see `queue.Timer`.  `clock` is the queue's, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at_s = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at_s: float, callback: Callable[[float], None]) -> None:
        """Call `callback` with the time at `at_s`, unless an earlier call is due already."""
        if self._handle is not None:
            if self._at_s <= at_s:
                return
            self._handle.cancel()
        self._at_s = at_s
        delay_s = max(SOONEST_S, at_s - self._clock())
        self._handle = asyncio.get_running_loop().call_later(delay_s, self._fire, callback)

    def _fire(self, callback: Callable[[float], None]) -> None:
        self._handle = None
        callback(self._clock())
