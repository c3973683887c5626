"""Script calls of one event-loop tick travel to Redis as one pipeline on one connection, in the order they were made.

Lives here: batching, the deadline, the circuit breaker, scripts that Redis has forgotten.  Not here: what scripts do.
While one batch is out the next one gathers, so the more calls there are the less each costs.  One connection:
calls run in the order in which they were made.  Nothing is ever repeated that may have run.
"""

import asyncio
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import hiredis
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, NoScriptError, RedisError, ResponseError

from ratelimit.limits import LimiterUnavailableError

PROBE_EVERY_S = 0.2
"""Between two attempts to reach a Redis that is away; calls fail at once meanwhile.  Chosen: back well under 1 s."""

MAX_DOUBLINGS = 5
"""Of that pause, one for each failure in a row: a Redis that is reached and then too slow again is left alone, at most
for 6.4 s, so that few requests pay for finding out (chosen)."""

Reply = list[int]
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


@dataclass(frozen=True, slots=True)
class Call:
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


class Coalescer:
    """Calls `scripts` (known beforehand: they are loaded on connecting) on the Redis at `url`.

    A call never waits longer than `timeout_s`; `up` is whether the last conversation succeeded.  `batches` numbers
    what is sent together, ascending.
    """

    def __init__(
        self, url: str, scripts: Sequence[Script], timeout_s: float, batches: Iterator[int] | None = None
    ) -> None:
        # No retries: a script that may have run must not run again.
        pool = ConnectionPool.from_url(
            url, protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=None, socket_connect_timeout=timeout_s
        )
        self._connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py
        self._scripts = scripts
        self._timeout_s = timeout_s
        self._waiting: list[Call] = []
        self._since_s = 0.0  # when the first of them came
        self._failures = 0  # in a row
        self._sender: asyncio.Task[None] | None = None
        self._prober: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._up.set()
        self._batches = batches or itertools.count(1)
        self._batch = next(self._batches)

    @property
    def up(self) -> bool:
        """Whether Redis answered last time; True until it was asked."""
        return self._up.is_set()

    async def wait_up(self) -> None:
        """Return as soon as Redis answers."""
        await self._up.wait()

    def batch_for(self, key: str) -> int:  # noqa: ARG002 - in a cluster it depends on the key
        """The batch that a call made now goes with; calls of one are answered or lost before the next is sent."""
        return self._batch

    def call(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> asyncio.Future[Reply]:
        """Queue a call; its future may raise LimiterUnavailableError.

        Raises NotSentError at once while Redis is away, ValueError for what cannot be encoded.
        """
        if not self.up:
            raise NotSentError("Redis is away")
        whole = (len(keys), *keys, *arguments)
        packed = _pack("EVALSHA", script.sha, *whole)
        call = Call(script, whole, packed, asyncio.get_running_loop().create_future())
        if not self._waiting:
            self._since_s = asyncio.get_running_loop().time()
        self._waiting.append(call)
        if self._sender is None:  # its first step runs after this tick's other calls
            self._sender = asyncio.create_task(self._send_waiting(), name="redis-coalescer")
        return call.reply

    async def aclose(self) -> None:
        """Disconnect; calls still waiting fail."""
        self._up.clear()
        tasks = [task for task in (self._sender, self._prober) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._connection.disconnect()

    async def _send_waiting(self) -> None:
        batch: list[Call] = []
        try:
            while self._waiting:
                batch = [call for call in self._waiting if not call.reply.done()]
                self._waiting = []
                self._batch = next(self._batches)
                await self._exchange(batch, self._since_s + self._timeout_s)
        except BaseException:
            for call in (*batch, *self._waiting):
                call.fail(LimiterUnavailableError("closed"))
            raise
        finally:
            self._sender = None

    async def _exchange(self, batch: Sequence[Call], deadline_s: float) -> None:
        failure: type[LimiterUnavailableError] = NotSentError
        try:
            async with asyncio.timeout_at(deadline_s):
                await self._connect()
                failure = LimiterUnavailableError  # from here on anything may have run
                await self._converse(batch)
            self._failures = 0
        except (RedisError, OSError) as error:  # OSError includes TimeoutError
            self._up.clear()
            self._failures += 1
            for call in batch:
                call.fail(failure(str(error) or f"no answer within {self._timeout_s} s"))
            for call in self._waiting:
                call.fail(NotSentError("Redis is away"))
            self._waiting = []
            await self._connection.disconnect(nowait=True)
            self._prober = asyncio.create_task(self._probe(), name="redis-probe")

    async def _converse(self, batch: Sequence[Call]) -> None:
        await self._connection.send_packed_command(b"".join([call.packed for call in batch]), check_health=False)
        forgotten: list[Call] = []
        for call in batch:
            try:
                call.succeed(await self._connection.read_response())
            except NoScriptError:
                forgotten.append(call)
            except ResponseError as error:
                call.fail(_failure(error))
        if forgotten:  # they did not run; EVAL runs and loads
            await self._converse([_with_source(call) for call in forgotten])

    async def _connect(self) -> None:
        """Be connected, scripts loaded.  Data on a connection that was not asked means that Redis closed it."""
        connection = self._connection
        if connection.is_connected:
            if not await connection.can_read():
                return
            await connection.disconnect(nowait=True)
        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
        loads = [_pack("SCRIPT", "LOAD", script.source) for script in self._scripts]
        await connection.send_packed_command(b"".join(loads), check_health=False)
        for _ in loads:
            await connection.read_response()

    async def _probe(self) -> None:
        while not self.up:
            await asyncio.sleep(PROBE_EVERY_S * 2 ** min(self._failures - 1, MAX_DOUBLINGS))
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._connect()
            except (RedisError, OSError):
                await self._connection.disconnect(nowait=True)
            else:
                self._up.set()


def _failure(error: ResponseError) -> LimiterUnavailableError:
    """Of a call that ran and failed, or that a node of a cluster would not run."""
    if isinstance(error, AskError):  # MOVED among them
        return MovedElsewhereError(str(error))
    return LimiterUnavailableError(str(error))


def _with_source(call: Call) -> Call:
    return replace(call, packed=_pack("EVAL", call.script.source, *call.arguments))


def _pack(*words: Argument) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub says a tuple of one
    return packed
