"""Script calls of one event-loop tick travel to Redis as one pipeline on one connection, in the order they were made.

Lives here: batching, the deadline, the circuit breaker, scripts that Redis has forgotten.  Not here: what scripts do.
While one batch is out the next one gathers, so the more calls there are the less each costs; a call that has been
alone lately goes at once.  One connection:
calls run in the order in which they were made.  Nothing is ever repeated that may have run.
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
"""Between two attempts to reach a Redis that is away; calls fail at once meanwhile.  Chosen: back well under 1 s."""

MAX_DOUBLINGS = 5
"""The pause doubles at most so often, once per failure in a row: a Redis that stays too slow is left alone for at most
6.4 s, so that few requests pay for finding out (chosen)."""

LAST_CHANCE_S = 0.002
"""Long enough for the event loop to read once (chosen)."""
LONE = 8
"""Batches of a single call in a row after which the next call does not wait for company (chosen: load soon makes a
pair)."""

Reply = list[Any]
"""What a script returned: numbers, and bytes for strings."""
Argument = str | bytes | int


class NotSentError(LimiterUnavailableError):
    """The call certainly did not run, so repeating it later is safe."""


class MovedElsewhereError(NotSentError):
    """The keys of the call are another node's."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name by which Redis remembers it."""

    source: str
    sha: str

    @classmethod
    def of(cls, source: str) -> "Script":
        """Name a script."""
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
    """A connection that redis-py opened, taken over: replies go to `replied` as they arrive, without a task between."""

    def __init__(
        self, replied: Callable[[object], None], lost: Callable[["_Link"], None], writer: asyncio.StreamWriter
    ) -> None:
        self._replied = replied
        self._lost = lost
        self._reader = hiredis.Reader()
        self._writer = writer  # it closes its transport when nobody holds it
        self.write = writer.transport.write
        self.abort = writer.transport.abort
        writer.transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """asyncio's.  False is hiredis' word for: no whole reply yet."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._replied(reply)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """asyncio's."""
        self._lost(self)


class BatchedCalls:
    """Calls `scripts` (known beforehand: they are loaded on connecting) on the Redis at `url`.

    A call never waits longer than `timeout_s`; `up` is whether the last conversation succeeded.
    """

    def __init__(self, url: str, scripts: Sequence[Script], timeout_s: float) -> None:
        # No retries: a script that may have run must not run again.
        self._pool = ConnectionPool.from_url(
            url, protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=None, socket_connect_timeout=timeout_s
        )
        self._scripts = scripts
        self._timeout_s = timeout_s
        self._loop: asyncio.AbstractEventLoop | None = None  # asking for the running one is a system call
        self._link: _Link | None = None
        self._waiting: list[Call] = []
        self._since_s = 0.0  # when the first of them came
        self._failures = 0  # in a row
        self._out: deque[Call] = deque()  # sent, not answered
        self._forgotten: list[Call] = []  # of these: Redis does not know the script
        self._due_s = 0.0  # when the batch that is out is too late
        self._last_chance = False  # the batch that is out was found too late once
        self._alarm: asyncio.TimerHandle | None = None  # looks whether it is; outlives many batches
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
            self._since_s = loop.time()
        self._waiting.append(call)
        if not self._busy:
            self._busy = True
            if self._lone >= LONE and self._link is not None:
                self._send_waiting()
            else:
                loop.call_soon(self._send_waiting)  # after this tick's other calls
        return call.reply

    async def aclose(self) -> None:
        """Disconnect; calls still waiting fail."""
        self._up.clear()
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        self._fail("closed", LimiterUnavailableError, LimiterUnavailableError)

    def _send_waiting(self) -> None:
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
            self._due_s, self._last_chance = self._since_s + self._timeout_s, False
        if self._alarm is None:
            self._alarm = self._loop.call_at(self._due_s, self._look)
        self._link.write(b"".join([call.packed for call in calls]))

    def _replied(self, reply: object) -> None:
        call = self._out.popleft()
        if not isinstance(reply, hiredis.ReplyError):
            call.succeed(cast(Reply, reply))
        elif str(reply).startswith("NOSCRIPT"):
            self._forgotten.append(call)
        elif str(reply).startswith(("MOVED", "ASK")):
            call.fail(MovedElsewhereError(str(reply)))
        else:
            call.fail(LimiterUnavailableError(str(reply)))
        if not self._out:
            self._answered()

    def _answered(self) -> None:
        """Every reply of the batch is there."""
        if self._forgotten:  # they did not run; EVAL runs and loads
            calls, self._forgotten = self._forgotten, []
            self._send([_with_source(call) for call in calls], again=True)
            return
        self._failures = 0
        if self._waiting:
            self._send_waiting()
        else:
            self._busy = False

    def _look(self) -> None:
        """A timer for each batch would cost more than this look after what was once the time for one."""
        self._alarm = None
        if not self._out or self._loop is None:
            return
        if self._loop.time() < self._due_s:
            self._alarm = self._loop.call_at(self._due_s, self._look)
        elif self._last_chance:
            self._leave(f"no answer within {self._timeout_s} s")
        else:  # a loop that was kept from running reads only now what has long arrived
            self._last_chance = True
            self._alarm = self._loop.call_later(LAST_CHANCE_S, self._look)

    def _lost(self, link: _Link) -> None:
        """A connection ended; while nobody waits for it that is not worth a word."""
        if link is self._link:
            if self._out:
                self._leave("Redis closed the connection")
            else:
                self._link = None

    def _leave(self, reason: str) -> None:
        """Redis is away: everybody learns it, and probing begins."""
        self._up.clear()
        self._failures += 1
        self._fail(reason, LimiterUnavailableError, NotSentError)
        self._connecting = asyncio.create_task(self._probe(), name="redis-probe")

    def _fail(
        self, reason: str, of_sent: type[LimiterUnavailableError], of_waiting: type[LimiterUnavailableError]
    ) -> None:
        """Fail every call and hang up."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        calls = [(call, of_sent) for call in (*self._out, *self._forgotten)]
        calls += [(call, of_waiting) for call in self._waiting]
        self._out.clear()
        self._forgotten, self._waiting = [], []
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
            self._leave(str(error) or f"not connected within {self._timeout_s} s")
        else:
            self._send_waiting()

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
        self._link = _Link(self._replied, self._lost, _taken_from(connection))

    async def _probe(self) -> None:
        while not self.up:
            await asyncio.sleep(PROBE_EVERY_S * 2 ** min(self._failures - 1, MAX_DOUBLINGS))
            try:
                await self._connect()
            except (RedisError, OSError):
                continue
            self._up.set()


def _taken_from(connection: AbstractConnection) -> asyncio.StreamWriter:
    """The socket of an open connection, which then has none: redis-py has no public way to give it away."""
    writer = connection._writer
    assert writer is not None  # noqa: S101 - connected
    connection._writer = connection._reader = None
    return writer


def _with_source(call: Call) -> Call:
    return call._replace(packed=_pack("EVAL", call.script.source, *call.arguments))


def _pack(*words: Argument) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub says a tuple of one
    return packed
