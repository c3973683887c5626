"""Calls of Lua scripts travel to Redis in batches, on one connection and in the order in which they were made.

Lives here: batching, the deadline, the circuit breaker, loading scripts.  Not here: what the scripts do (lua/).

The calls of one turn of the event loop are one batch.  While a batch is on its way the next one gathers, so the more
calls there are, the less each costs; when calls come one by one, each is sent at once.  A call that may have run is
never repeated.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import hiredis
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from ratelimit.limits import LimiterUnavailableError

PROBE_EVERY_S = 0.2
"""The pause before Redis is tried again after a failure, in seconds; calls fail at once meanwhile.  Chosen: well under
1 s."""

MAX_DOUBLINGS = 5
"""How often that pause doubles, once for each failure in a row.  Chosen: 6.4 s at most; few requests wait in vain for a
Redis that is reached and then too slow again."""

LAST_CHANCE_S = 0.002
"""Seconds that a batch is given when its deadline has passed, so that a loop that could not run reads what has long
arrived (chosen: the loop reads once)."""

LONE_BATCHES = 8
"""After this many batches of a single call a call is sent at once, without waiting for others of the same turn of the
loop (chosen: under load a batch soon has two)."""

Reply = list[Any]
"""A script's reply: numbers, and bytes for strings."""
Argument = str | bytes | int


class NotSentError(LimiterUnavailableError):
    """The call did not run, so repeating it later is safe."""


class MovedElsewhereError(NotSentError):
    """The keys of the call belong to another node."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name by which Redis remembers it."""

    source: str
    sha: str

    @classmethod
    def of(cls, source: str) -> "Script":
        """Return the script with its name."""
        return cls(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


class Call(NamedTuple):
    """One call on its way."""

    script: Script
    arguments: tuple[Argument, ...]  # number of keys, keys, arguments
    packed: bytes
    reply: asyncio.Future[Reply]

    def succeed(self, reply: Reply) -> None:
        """Hand over the reply, unless the caller has gone."""
        if not self.reply.done():
            self.reply.set_result(reply)

    def fail(self, error: LimiterUnavailableError) -> None:
        """Hand over the failure, unless the caller has gone or was answered."""
        if not self.reply.done():
            self.reply.set_exception(error)
            self.reply.exception()  # marks it as seen: asyncio would report it when nobody awaits the reply


class _Link(asyncio.Protocol):
    """A connection taken over from redis-py: replies go to `on_reply` as they arrive, without a task between."""

    def __init__(
        self, on_reply: Callable[[object], None], on_lost: Callable[["_Link"], None], writer: asyncio.StreamWriter
    ) -> None:
        self._on_reply = on_reply
        self._on_lost = on_lost
        self._reader = hiredis.Reader()
        self._writer = writer  # it closes its transport when nobody holds it
        self.write = writer.transport.write
        self.abort = writer.transport.abort
        writer.transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """Read replies; see asyncio.Protocol.  hiredis returns False when there is no whole reply yet."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._on_reply(reply)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Pass it on; see asyncio.Protocol."""
        self._on_lost(self)


class BatchedCalls:
    """Calls of `scripts`, which are loaded on connecting, on the Redis at `url`.

    A call never waits longer than `timeout_s`; `up` is whether the last conversation succeeded.
    """

    def __init__(self, url: str, scripts: Sequence[Script], timeout_s: float) -> None:
        # No retries: a script that may have run must not run again.
        self._pool = ConnectionPool.from_url(
            url, protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=None, socket_connect_timeout=timeout_s
        )
        self._scripts = scripts
        self._timeout_s = timeout_s
        self._loop: asyncio.AbstractEventLoop | None = None  # get_running_loop costs a system call
        self._link: _Link | None = None
        self._waiting: list[Call] = []
        self._waiting_since_s = 0.0  # when the first of `_waiting` was made
        self._failures = 0  # in a row
        self._out: deque[Call] = deque()  # sent, not answered
        self._unknown_script: list[Call] = []  # sent calls whose script Redis did not know
        self._due_s = 0.0  # the deadline of the batch that is out
        self._last_chance = False  # the batch that is out has missed its deadline once
        self._deadline_timer: asyncio.TimerHandle | None = None  # one for many batches
        self._busy = False  # from a batch's first call to its last reply
        self._lone = 0  # batches in a row that were a single call
        self._connecting: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._up.set()

    @property
    def up(self) -> bool:
        """Whether Redis answered last time; True until it was asked."""
        return self._up.is_set()

    async def wait_up(self) -> None:
        """Return as soon as Redis answers."""
        await self._up.wait()

    def call(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> asyncio.Future[Reply]:
        """Queue a call; its future may raise LimiterUnavailableError.

        Raises NotSentError at once while Redis is away, ValueError for what cannot be encoded.
        """
        if not self.up:
            raise NotSentError("Redis is away")
        whole = (len(keys), *keys, *arguments)
        packed = _pack("EVALSHA", script.sha, *whole)
        loop = self._loop = self._loop or asyncio.get_running_loop()
        call = Call(script, whole, packed, loop.create_future())
        if not self._waiting:
            self._waiting_since_s = loop.time()
        self._waiting.append(call)
        if not self._busy:
            self._busy = True
            if self._lone >= LONE_BATCHES and self._link is not None:
                self._send_batch()
            else:
                loop.call_soon(self._send_batch)  # after this tick's other calls
        return call.reply

    async def aclose(self) -> None:
        """Disconnect; calls still waiting fail."""
        self._up.clear()
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        self._fail("closed", LimiterUnavailableError, LimiterUnavailableError)

    def _send_batch(self) -> None:
        if self._link is None:
            self._connecting = asyncio.create_task(self._connect_first(), name="redis-connect")
            return
        calls = [call for call in self._waiting if not call.reply.done()]
        self._waiting = []
        self._lone = self._lone + 1 if len(calls) == 1 else 0
        if calls:
            self._send(calls)
        else:
            self._busy = False

    def _send(self, calls: Sequence[Call], *, again: bool = False) -> None:
        assert self._loop is not None and self._link is not None  # noqa: S101 - `call` and the caller saw to it
        self._out.extend(calls)
        if not again:
            self._due_s, self._last_chance = self._waiting_since_s + self._timeout_s, False
        if self._deadline_timer is None:
            self._deadline_timer = self._loop.call_at(self._due_s, self._check_deadline)
        self._link.write(b"".join([call.packed for call in calls]))

    def _on_reply(self, reply: object) -> None:
        call = self._out.popleft()
        if not isinstance(reply, hiredis.ReplyError):
            call.succeed(cast(Reply, reply))
        elif str(reply).startswith("NOSCRIPT"):
            self._unknown_script.append(call)
        elif str(reply).startswith(("MOVED", "ASK")):
            call.fail(MovedElsewhereError(str(reply)))
        else:
            call.fail(LimiterUnavailableError(str(reply)))
        if not self._out:
            self._batch_answered()

    def _batch_answered(self) -> None:
        """Go on with the next batch: every reply of this one is there."""
        if self._unknown_script:  # they did not run; EVAL runs and loads
            calls, self._unknown_script = self._unknown_script, []
            self._send([_with_source(call) for call in calls], again=True)
            return
        self._failures = 0
        if self._waiting:
            self._send_batch()
        else:
            self._busy = False

    def _check_deadline(self) -> None:
        """Give up on a batch that is too late, else look again at the deadline of the one that is out by then.

        A timer for each batch would cost more.
        """
        self._deadline_timer = None
        if not self._out or self._loop is None:
            return
        if self._loop.time() < self._due_s:
            self._deadline_timer = self._loop.call_at(self._due_s, self._check_deadline)
        elif self._last_chance:
            self._begin_absence(f"no answer within {self._timeout_s} s")
        else:
            self._last_chance = True
            self._deadline_timer = self._loop.call_later(LAST_CHANCE_S, self._check_deadline)

    def _on_lost(self, link: _Link) -> None:
        """Note that a connection ended, which matters only while calls wait for replies."""
        if link is self._link:
            if self._out:
                self._begin_absence("Redis closed the connection")
            else:
                self._link = None

    def _begin_absence(self, reason: str) -> None:
        """Fail every call and probe until Redis is back."""
        self._up.clear()
        self._failures += 1
        self._fail(reason, LimiterUnavailableError, NotSentError)
        self._connecting = asyncio.create_task(self._probe(), name="redis-probe")

    def _fail(
        self, reason: str, for_sent: type[LimiterUnavailableError], for_waiting: type[LimiterUnavailableError]
    ) -> None:
        """Fail every call and hang up."""
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
            self._deadline_timer = None
        calls = [(call, for_sent) for call in (*self._out, *self._unknown_script)]
        calls += [(call, for_waiting) for call in self._waiting]
        self._out.clear()
        self._unknown_script, self._waiting = [], []
        self._busy = False
        for call, failure in calls:
            call.fail(failure(reason))
        link, self._link = self._link, None
        if link is not None:
            link.abort()

    async def _connect_first(self) -> None:
        try:
            await self._connect()
        except (RedisError, OSError) as error:  # OSError includes TimeoutError
            self._begin_absence(str(error) or f"not connected within {self._timeout_s} s")
        else:
            self._send_batch()

    async def _connect(self) -> None:
        """Open a connection, load the scripts and take it over from redis-py, which knows URLs, TLS and passwords."""
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py
        async with asyncio.timeout(self._timeout_s):
            try:
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
                loads = [_pack("SCRIPT", "LOAD", script.source) for script in self._scripts]
                await connection.send_packed_command(b"".join(loads), check_health=False)
                for _ in loads:
                    await connection.read_response()
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
        self._link = _Link(self._on_reply, self._on_lost, _taken_from(connection))

    async def _probe(self) -> None:
        while not self.up:
            await asyncio.sleep(PROBE_EVERY_S * 2 ** min(self._failures - 1, MAX_DOUBLINGS))
            try:
                await self._connect()
            except (RedisError, OSError):
                continue
            self._up.set()


def _taken_from(connection: AbstractConnection) -> asyncio.StreamWriter:
    """Return the socket of an open connection and take it from it; redis-py has no public way to do so."""
    writer = connection._writer
    assert writer is not None  # noqa: S101 - connected
    connection._writer = connection._reader = None
    return writer


def _with_source(call: Call) -> Call:
    return call._replace(packed=_pack("EVAL", call.script.source, *call.arguments))


def _pack(*words: Argument) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub says a tuple of one
    return packed
