"""Sharing among replicas: tells the others what this one does, hears what they do, and carries letters between two.

Lives here: when something is sent, who is asked for everything, what is ignored.  Not here: what a replica tells and
what it makes of what it hears (gateway.fleet, gateway.admission), who is there (replicas), Redis (channels).

Nothing here is on the way of a request.  What changed is told at the pace of `pace`: at once while that is little or
requests wait, else every interval.  A replica of which something was missed is asked for everything it has.  While
Redis is away each works alone.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Protocol

import structlog
from msgspec.structs import replace
from redis.exceptions import RedisError

from gateway.observability.metrics import Metrics
from gateway.sharing.channels import Channels, Message, Subscription
from gateway.sharing.messages import ForeignMessageError, Letter, Share, decode, decode_letter, encode, pieces
from gateway.sharing.pace import Pace
from gateway.sharing.replicas import LEASE_S, Replicas
from ratelimit.limits import LimiterUnavailableError
from ratelimit.redis.batching import Reply

log = structlog.get_logger("sharing")

HEARTBEAT_S = 0.5
"""A replica that has nothing to tell says so this often, in seconds: a quarter of its lease."""
MAX_ON_WAY = 64
"""Messages at most of which is remembered when they were sent, until they come back (chosen: those of 3 s)."""
RETRY_S = 0.2
"""Between two attempts to subscribe, in seconds (chosen: well under a second)."""
LEAVE_S = 0.5
"""How long the last message may take, in seconds (chosen: far longer than it does, and a short end of a process)."""
AGREE_S = 10.0
"""Between two looks at Redis's clock and at the key of block hashes, in seconds (chosen: clocks drift by 1 ms)."""

SILENT = f"nothing was heard for {LEASE_S} s"
"""The reason of an absence that nobody told."""
ASK = "ask"
EVERYTHING = "everything"
"""The kinds of our own letters: please tell everything, and everything."""

LetterHandler = Callable[[str, bytes], None]
"""Takes the sender's name and the body of a letter."""


class Outbox(Protocol):
    """The changes that this replica has to tell."""

    @property
    def is_urgent(self) -> bool:
        """Whether what changed should be told soon."""
        ...

    def take(self, now_s: float) -> Share | None:
        """Return what changed since the last time; None when nothing did."""
        ...

    def everything(self, now_s: float) -> Share:
        """Return everything there is to tell."""
        ...


class Inbox(Protocol):
    """A place that takes what others tell."""

    def apply(self, share: Share, now_s: float) -> None:
        """Take what a sibling told."""
        ...

    def forget(self, replica: str, now_s: float) -> None:
        """Drop all that a sibling told."""
        ...


OnKey = Callable[[int], None]
"""Takes the key of block hashes that all replicas use, of 64 bits."""
OnPlace = Callable[[int, int, float], None]
"""Takes this replica's rank, from 0, among how many, and how many seconds Redis's clock is ahead of its own."""


class Sharing:
    """Sharing of the replica that `replicas` is named for.  `tell`, `hear` and `agree` run as tasks.

    `secret` becomes the key of all replicas' block hashes if there is none yet.  `news` is set by the outbox too.
    """

    def __init__(
        self,
        replicas: Replicas,
        channels: Channels,
        outbox: Outbox,
        inboxes: Sequence[Inbox],
        *,
        secret: bytes,
        on_key: OnKey,
        on_place: OnPlace,
        letters: Mapping[str, LetterHandler],
        metrics: Metrics,
        clock: Callable[[], float],
        interval_s: float,
        news: asyncio.Event,
    ) -> None:
        self.replicas = replicas
        self._news = news
        self._interval_s = interval_s
        self._channels = channels
        self._outbox = outbox
        self._inboxes = inboxes
        self._secret = secret
        self._on_key = on_key
        self._on_place = on_place
        self._letters: dict[str, LetterHandler] = {**letters, ASK: self._on_ask, EVERYTHING: self._on_everything}
        self._metrics = metrics
        self._clock = clock
        self._pace = Pace(interval_s)
        self._ahead_s = 0.0  # Redis's clock minus ours
        self._serial = 0
        self._told_s = -inf  # when the last message was sent
        self._is_due = True  # one should be sent, even if nothing changed
        self._told: asyncio.Future[Reply] | None = None  # the last message, until Redis has taken it
        self._on_way: deque[tuple[int, float]] = deque(maxlen=MAX_ON_WAY)  # ours: serial, when it was sent
        self._echo_s = clock()  # when one of ours came back to us
        self._is_up = True
        self._counted = (0, False)  # what the metrics show: how many replicas, and whether this one hears itself
        self._why = SILENT  # why it is away, or was last
        self._refused: set[str] = set()

    async def tell(self) -> None:
        """Tell the others what changed, for ever; cancel to stop."""
        while True:
            now_s = self._clock()
            self._expire(now_s)
            self._report(now_s)
            self._pace.look(now_s, is_urgent=self._outbox.is_urgent)
            if self._told is None or self._told.done():  # while Redis is slow, changes gather
                self._see_failure()
                if self._is_due or self._pace.next_s(now_s) <= now_s:
                    self._tell(now_s)
            await self._pause(now_s)

    async def hear(self) -> None:
        """Hear the others, for ever; cancel to stop."""
        while True:
            try:
                async with self._channels.subscribed() as subscription:
                    self._tell_at_once()  # the others should know that we hear
                    await self._follow(subscription)
            except (RedisError, OSError) as error:
                self._why = str(error) or type(error).__name__
            await asyncio.sleep(RETRY_S)

    async def leave(self) -> None:
        """Tell the others that this replica ends; if Redis does not take it at once, they find out by its silence."""
        self._serial += 1
        last = self._outbox.take(self._clock()) or Share(self.replicas.name, 0)
        with suppress(LimiterUnavailableError, TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._channels.tell(replace(last, serial=self._serial, leaves=True))

    async def agree(self) -> None:
        """Keep to what all replicas agree on, for ever; cancel to stop."""
        while True:
            try:
                await self.agree_once()
            except LimiterUnavailableError as error:
                self._why = str(error)
                await asyncio.sleep(HEARTBEAT_S)
            else:
                await asyncio.sleep(AGREE_S)

    async def agree_once(self) -> None:
        """Learn the key of block hashes and Redis's clock.  Raises LimiterUnavailableError."""
        asked_s = self._clock()
        self._secret, redis_s = await self._channels.agree(self._secret)
        self._ahead_s = redis_s - (asked_s + self._clock()) / 2
        digest = hashlib.sha256(self._secret).digest()  # whatever somebody wrote there becomes a key
        self._on_key(int.from_bytes(digest[:8]))
        self._set_place()

    def page(self) -> dict[str, object]:
        """Return what is known of the replicas, for /debug/replicas."""
        return {
            "replica": self.replicas.name,
            "rank": self.replicas.rank,
            "replicas": len(self.replicas),
            "up": self._is_up,
            "why": "" if self._is_up else self._why,
            "messages": self._serial,
            "siblings": self.replicas.page(self._clock()),
        }

    async def _pause(self, now_s: float) -> None:
        """Sleep until something may be told that should be told at once, but not for longer than an interval."""
        longest_s = self._interval_s if len(self.replicas) > 1 else HEARTBEAT_S
        if self._told is not None and not self._told.done():
            await asyncio.wait((self._told,), timeout=longest_s)
            return
        held_s = self._pace.next_s(now_s) - now_s
        if held_s > 0:
            self._news.clear()  # what is known is held; what comes may be urgent
            longest_s = min(held_s, longest_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._news.wait()

    def _tell_at_once(self) -> None:
        self._is_due = True
        self._news.set()

    def _tell(self, now_s: float) -> None:
        self._news.clear()
        share = self._outbox.take(now_s)
        if share is None and not self._is_due and now_s - self._told_s < HEARTBEAT_S:
            return
        self._is_due = False
        self._serial += 1
        self._told_s = now_s
        if share is not None:
            self._pace.told(now_s)
        share = replace(share, serial=self._serial) if share else Share(self.replicas.name, self._serial)
        self._on_way.append((self._serial, now_s))
        try:
            self._told = self._channels.tell(share)
        except LimiterUnavailableError as error:
            self._why = str(error)

    def _write(self, replica: str, kind: str, body: bytes) -> None:
        with suppress(LimiterUnavailableError):  # then it is asked again, or asks again
            self._channels.write(replica, kind, body)

    def _see_failure(self) -> None:
        if self._told is not None and (error := self._told.exception()) is not None:
            self._why = str(error)

    async def _follow(self, subscription: Subscription) -> None:
        """Take messages until there is none for LEASE_S, not even our own.

        After a standstill of this process that long, what lies in the socket is out of date: it is not read.
        """
        heard_s = self._clock()
        while (message := await subscription.next(LEASE_S)) is not None:
            now_s = self._clock()
            if now_s - heard_s > LEASE_S:
                return
            heard_s = now_s
            self._on_message(message, now_s)
            await asyncio.sleep(0)  # others get to run between two of many messages
        self._why = SILENT

    def _on_message(self, message: Message, now_s: float) -> None:
        self._metrics.count_shared("received", len(message.body))
        try:
            if message.is_letter:
                self._on_letter(decode_letter(message.body))
            else:
                self._on_share(decode(message.body), now_s)
        except ForeignMessageError as error:
            self._refuse(error)

    def _on_share(self, share: Share, now_s: float) -> None:
        if share.replica == self.replicas.name:
            self._on_echo(share.serial, now_s)
            return
        heard = self.replicas.hear(share.replica, share.serial, now_s, everything=share.everything)
        if heard.has_joined:
            log.info("replica_joined", sibling=share.replica, replicas=len(self.replicas))
            self._tell_at_once()  # the new one should know of us
            self._set_place()
        if heard.is_new:
            for inbox in self._inboxes:
                inbox.apply(share, now_s)
        if share.leaves and self.replicas.remove(share.replica):
            log.info("replica_left", sibling=share.replica, replicas=len(self.replicas))
            self._forget(share.replica, now_s)
        elif heard.asks:
            self._write(share.replica, ASK, b"")

    def _on_echo(self, serial: int, now_s: float) -> None:
        """Note that our own message has come back: both ways to Redis are open."""
        self._echo_s = now_s
        while self._on_way and self._on_way[0][0] <= serial:
            sent, sent_s = self._on_way.popleft()
            if sent == serial:
                self._metrics.observe_sharing_delay(now_s - sent_s)

    def _on_letter(self, letter: Letter) -> None:
        handler = self._letters.get(letter.kind)
        if handler is None:
            raise ForeignMessageError("letter", f"a letter of the unknown kind {letter.kind}")
        try:
            handler(letter.sender, letter.body)
        except ValueError as error:
            raise ForeignMessageError(letter.kind, str(error)) from error

    def _on_ask(self, sender: str, body: bytes) -> None:  # noqa: ARG002 - a handler's signature
        now_s = self._clock()
        self._tell(now_s)  # so that nothing of it is told once more
        everything = replace(self._outbox.everything(now_s), serial=self._serial)
        for piece in pieces(everything):
            self._write(sender, EVERYTHING, encode(piece))

    def _on_everything(self, sender: str, body: bytes) -> None:  # noqa: ARG002 - a handler's signature
        self._on_share(decode(body), self._clock())

    def _expire(self, now_s: float) -> None:
        for name in self.replicas.expire(now_s):
            log.warning("replica_lost", sibling=name, replicas=len(self.replicas), unheard_s=LEASE_S)
            self._forget(name, now_s)

    def _forget(self, replica: str, now_s: float) -> None:
        """Drop all that a sibling told which is no longer there."""
        for inbox in self._inboxes:
            inbox.forget(replica, now_s)
        self._set_place()

    def _set_place(self) -> None:
        self._on_place(self.replicas.rank, len(self.replicas), self._ahead_s)

    def _report(self, now_s: float) -> None:
        """Log and count when this replica stops or begins to hear itself."""
        is_up = now_s - self._echo_s <= LEASE_S
        if is_up != self._is_up:
            self._is_up = is_up
            log.warning("sharing_is_back" if is_up else "sharing_is_away", **({} if is_up else {"why": self._why}))
        counted = (len(self.replicas), is_up)
        if counted != self._counted:  # setting gauges that workers share takes as long as telling something
            self._counted = counted
            self._metrics.set_sharing(*counted)

    def _refuse(self, error: ForeignMessageError) -> None:
        """Count a message that is not ours, and log the first of each kind."""
        self._metrics.count_refused_message(error.kind)
        if error.kind not in self._refused:
            self._refused.add(error.kind)
            log.warning("message_ignored", kind=error.kind, why=str(error))
