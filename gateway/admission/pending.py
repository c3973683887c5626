"""A request's turn to be sent: at once, or after waiting.

Lives here: the future that an admission waits on.  Not here: whose turn it is (late_binding).
"""

import asyncio
from collections.abc import Callable

from gateway.admission.queue import AdmissionQueue, Outcome, Waiting
from gateway.fleet.fleet import Ticket
from gateway.openai.errors import ClientGoneError
from routing.types import NoCandidateError, RouteRequest, Slo

SOONEST_S = 0.001
"""No timer is set for less (chosen: a pod that opens in the same millisecond makes no difference)."""


class PendingAdmission:
    """Begins at once.  Either `ticket` is awaited to its end, or `leave` is called."""

    def __init__(self, late: AdmissionQueue, request: RouteRequest, slo: Slo, strategy: str, now_s: float) -> None:
        self._late = late
        self._came: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self._waiting = Waiting(request, slo, strategy, self._came.set_result)
        late.enter(self._waiting, now_s)

    @property
    def waits(self) -> bool:
        """Whether there is no outcome yet."""
        return not self._came.done()

    def leave(self) -> None:
        """The request is not to be sent any more."""
        if self._waiting.waits:
            self._late.leave(self._waiting)
            self._came.set_result(None)

    async def ticket(self) -> Ticket:
        """Return its ticket.  Raises NoCandidateError, and ClientGoneError when it was made to leave.

        Precondition: transports let an admission end even when its client has left, so nobody cancels this.
        """
        outcome = await self._came
        if outcome is None:
            raise ClientGoneError("the client has left")
        if isinstance(outcome, NoCandidateError):
            raise outcome
        return outcome


class Timer:
    """Calls `ring` once, at the earliest of the times that it was set to."""

    def __init__(self, ring: Callable[[float], None], clock: Callable[[], float]) -> None:
        self._ring = ring
        self._clock = clock
        self._at_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at_s: float) -> None:
        """Have it ring then, at the latest."""
        if self._timer is not None:
            if self._at_s <= at_s:
                return
            self._timer.cancel()
        self._at_s = at_s
        self._timer = asyncio.get_running_loop().call_later(max(SOONEST_S, at_s - self._clock()), self._go_off)

    def _go_off(self) -> None:
        self._timer = None
        self._ring(self._clock())
