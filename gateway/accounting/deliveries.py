"""Access-log entries on their way to the worker whose requests they end: Envoy may send them to any.

Lives here: whose an entry is, passing it on, settling for a worker that is gone.  Not here: the ledger of a worker's
own requests (ledger), how replicas reach each other (`Post`), what is read of an entry (access_log).

An entry may arrive twice, at one worker or at two.  Its owner's ledger knows what it has settled, and the limiter
applies a request's change once, whoever brings it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from gateway.accounting.access_log import Entry, decode, encode
from gateway.accounting.ledger import Ledger
from gateway.accounting.settlement import used_as_reported
from ratelimit.kinds import Amounts
from ratelimit.limits import Limiter, LimiterUnavailableError, Reservation

EXCHANGE_ID_PARTS = 3
WATCHED_S = 4.0
"""Seconds after which an entry that was passed on counts as received, if its owner lived all the time (chosen: a second
longer than it may take until a dead one is known to be)."""
WATCH_S = 0.5
"""Between two looks at the entries that were passed on, in seconds (chosen)."""

AT_ONCE = 16
"""Entries that are settled in one turn of the loop: some 0.2 ms each (chosen; of 1,000 requests per second Envoy's
flush interval makes batches of 50, and after a standstill they are far longer)."""


class Post(Protocol):
    """Brings bytes to another replica, which may get them, or not."""

    def alive(self, replica: str) -> bool:
        """Return whether the replica was heard of lately."""
        ...

    async def send(self, replica: str, payload: bytes) -> None:
        """Send without waiting for the receipt.  Raises OSError when it cannot be sent."""
        ...


class Deliveries:
    """The entries that reach one worker, whose name is `replica`.

    `on_error` is called with the place of an expected failure.
    """

    def __init__(
        self,
        replica: str,
        ledger: Ledger,
        limiter: Limiter,
        post: Post,
        *,
        clock: Callable[[], float],
        on_error: Callable[[str], None],
    ) -> None:
        self._replica = replica
        self._ledger = ledger
        self._limiter = limiter
        self._post = post
        self._clock = clock
        self._on_error = on_error
        self._passed_on: list[tuple[float, str, bytes]] = []  # when, to whom, what
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, entries: Sequence[Entry]) -> None:
        """Settle our own requests, pass the entries of others on; those of a replica that is gone are settled here.

        Of many, AT_ONCE are, and the rest in the next turns of the loop, so that requests get to run between.
        """
        if len(entries) > AT_ONCE:
            asyncio.get_running_loop().call_soon(self.take, entries[AT_ONCE:])
            entries = entries[:AT_ONCE]
        others: dict[str, list[Entry]] = {}
        for entry in entries:
            owner = _owner(entry.exchange_id)
            if owner == self._replica:
                self._ledger.ended(entry.exchange_id, entry.end())
            elif owner:
                others.setdefault(owner, []).append(entry)
        for owner, theirs in others.items():
            if self._post.alive(owner):
                payload = encode(theirs)
                self._passed_on.append((self._clock(), owner, payload))
                self._start(self._send(owner, payload))
            else:
                self._settle_for_another(theirs)

    def receive(self, payload: bytes) -> None:
        """Settle our requests of the entries that another replica passed on.  Raises ValueError for anything else."""
        self.take([entry for entry in decode(payload).entries if _owner(entry.exchange_id) == self._replica])

    def look(self) -> None:
        """Settle the entries that were passed on to a replica which has turned out to be gone, for a while at least.

        One that only stood still has perhaps not read them.
        """
        before_s = self._clock() - WATCHED_S
        watched, self._passed_on = self._passed_on, []
        for sent_s, owner, payload in watched:
            if not self._post.alive(owner):
                self._settle_for_another(decode(payload).entries)
            elif sent_s > before_s:
                self._passed_on.append((sent_s, owner, payload))

    async def run(self) -> None:
        """Call `look` on a timer until cancelled."""
        while True:
            await asyncio.sleep(WATCH_S)
            self.look()

    def _settle_for_another(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            carried = entry.reservation()
            if carried is not None:
                reservation, prices = carried
                used = used_as_reported(reservation.amounts, entry.end(), prices)
                self._start(self._settle(entry.exchange_id, reservation, used))

    async def _settle(self, exchange_id: str, reservation: Reservation, used: Amounts) -> None:
        try:
            await self._limiter.settle(reservation, used, {exchange_id: used.minus(reservation.amounts)})
        except LimiterUnavailableError:
            self._on_error("settle")  # the reservation stays charged until it leaves the window

    async def _send(self, owner: str, payload: bytes) -> None:
        try:
            await self._post.send(owner, payload)
        except OSError:
            self._on_error("delivery")  # the owner settles by estimate

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _owner(exchange_id: str) -> str:
    """Return the replica in an id `<index>-<replica>-<number>`; empty for an id of another form."""
    parts = exchange_id.split("-")
    return parts[1] if len(parts) == EXCHANGE_ID_PARTS else ""
