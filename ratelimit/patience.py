"""Deadlines that count only the time in which the event loop ran.

Lives here: a time limit for a block.  Not here: what is waited for.

uvloop fires due timers before it reads sockets.  To a loop that did not get to run, because the cores were busy or the
process was stopped, every answer looks late, although it lies in the socket.  So a deadline is a number of short pauses
in a row: a standstill, however long, is one of them, and between two of them the loop has read what there was.
"""

import asyncio
from types import TracebackType

PAUSES = 10
"""How many pauses a time limit consists of (chosen: a standstill counts as a tenth of it)."""


class Patience:
    """A block that is cancelled, and raises TimeoutError, when `timeout_s` have passed in which the loop ran.

    It is `asyncio.timeout` otherwise.  O(1) timers at any time, at most PAUSES in all.
    """

    def __init__(self, timeout_s: float) -> None:
        self._pause_s = timeout_s / PAUSES
        self._left = PAUSES
        self._limit = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> "Patience":
        await self._limit.__aenter__()
        self._wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._limit.__aexit__(kind, error, traceback)

    def renew(self) -> None:
        """Begin again, because something came."""
        self._left = PAUSES

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._pause_s, self._count)

    def _count(self) -> None:
        self._left -= 1
        if self._left:
            self._wait()
        else:
            self._limit.reschedule(asyncio.get_running_loop().time())
