"""Calls of Lua scripts travel to Redis in batches, on one connection and in the order in which they were made.

Lives here: batching, when Redis counts as away, the circuit breaker.  Not here: one connection (connection), what the
scripts do (lua/).

The calls of one turn of the event loop are one batch.  While a batch is on its way the next one gathers, so the more
calls there are, the less each costs; when calls come one by one, each is sent at once.

A late answer is no proof that Redis is away (docs/decisions/0017): calls wait while Redis is asked again on other
connections, and time in which the loop itself did not run does not count.  A call that may have run is repeated only
where its script may run twice.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from ratelimit.limits import LimiterUnavailableError
from ratelimit.patience import PAUSES
from ratelimit.redis.connection import Argument, Connector, Link, Script, pack

ATTEMPTS = 4
"""Attempts in a row that have no answer before Redis counts as away: a batch or a connection, each with its share of
the timeout (chosen: the last connections are opened when the first may have been lost on the way)."""

PROBE_EVERY_S = 0.2
"""The pause before Redis is tried again after an absence began, in seconds; calls fail at once meanwhile.  Chosen: well
under 1 s."""

MAX_DOUBLINGS = 5
"""How often that pause doubles, once for each absence in a row.  Chosen: 6.4 s at most; few requests wait in vain for a
Redis that is reached and then too slow again."""

LONE_BATCHES = 8
"""After this many batches of a single call a call is sent at once, without waiting for others of the same turn of the
loop (chosen: under load a batch soon has two)."""

Reply = list[Any]
"""A script's reply: numbers, and bytes for strings."""


class NotSentError(LimiterUnavailableError):
    """The call did not run, or its script may run twice: repeating it later is safe."""


class MovedElsewhereError(NotSentError):
    """The keys of the call belong to another node."""


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


class BatchedCalls:
    """Calls of `scripts`, which are loaded on connecting, on the Redis at `url`.

    Redis is away when it refuses connections, or says nothing for `timeout_s`; `up` is whether it is not.  Until then
    calls wait.
    """

    def __init__(self, url: str, scripts: Sequence[Script], timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._attempt_s = timeout_s / ATTEMPTS
        self._pause_s = self._attempt_s / PAUSES
        self._connector = Connector(url, scripts)
        self._loop: asyncio.AbstractEventLoop | None = None  # get_running_loop costs a system call
        self._link: Link | None = None
        self._waiting: list[Call] = []
        self._out: deque[Call] = deque()  # sent, not answered
        self._unknown_script: list[Call] = []  # sent calls whose script Redis did not know
        self._busy = False  # from a batch's first call to its last reply
        self._lone = 0  # batches in a row that were a single call
        self._pause: asyncio.TimerHandle | None = None  # runs while calls are out, one for many batches
        self._silent = 0  # pauses since Redis was last sent or said anything
        self._unanswered = 0  # attempts in a row
        self._connecting: asyncio.Task[None] | None = None
        self._absences = 0  # in a row
        self.away_because = ""
        """Why Redis is away, or was last."""
        self._up = asyncio.Event()
        self._up.set()

    @property
    def up(self) -> bool:
        """Whether Redis is there, as far as known; True until it was asked."""
        return self._up.is_set()

    async def wait_up(self) -> None:
        """Return as soon as Redis answers."""
        await self._up.wait()

    def call(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> asyncio.Future[Reply]:
        """Queue a call; its future may raise LimiterUnavailableError.

        Raises NotSentError at once while Redis is away, ValueError for what cannot be encoded.
        """
        if not self.up:
            raise NotSentError(self.away_because)
        whole = (len(keys), *keys, *arguments)
        packed = pack("EVALSHA", script.sha, *whole)
        loop = self._loop = self._loop or asyncio.get_running_loop()
        call = Call(script, whole, packed, loop.create_future())
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
        self._fail("closed", LimiterUnavailableError)

    def _send_batch(self) -> None:
        if self._link is None:
            self._connect_soon()
            return
        calls = [call for call in self._waiting if not call.reply.done()]
        self._waiting = []
        self._lone = self._lone + 1 if len(calls) == 1 else 0
        if calls:
            self._send(calls)
        else:
            self._busy = False

    def _send(self, calls: Sequence[Call]) -> None:
        assert self._link is not None  # noqa: S101 - the callers saw to it
        self._out.extend(calls)
        self._silent = 0
        if self._pause is None:
            self._begin_pause()
        self._link.write(b"".join([call.packed for call in calls]))

    def _on_reply(self, reply: object) -> None:
        call = self._out.popleft()
        self._silent = 0
        if self._unanswered:
            self._trust()
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
            self._send([_with_source(call) for call in calls])
            return
        self._absences = 0
        if self._waiting:
            self._send_batch()
        else:
            self._busy = False

    def _begin_pause(self) -> None:
        assert self._loop is not None  # noqa: S101 - `call` saw to it
        self._pause = self._loop.call_later(self._pause_s, self._end_pause)

    def _end_pause(self) -> None:
        """Count a pause in which Redis said nothing; after PAUSES of them a batch is unanswered.

        Between two pauses the loop has read what there was (see patience).  A timer for each batch would cost more.
        """
        self._pause = None
        if not self._out:
            return
        self._silent += 1
        if self._silent == PAUSES:
            self._unanswered += 1
            self._connect_soon()
        self._begin_pause()

    def _on_lost(self, link: Link) -> None:
        """Note that a connection ended, which matters only while calls wait for replies."""
        if link is not self._link:
            return
        self._link = None
        if self._out:
            self._unanswered += 1
            self._take_back("Redis closed the connection")
            self._connect_soon()

    def _connect_soon(self) -> None:
        """Look for a connection that answers, unless that is under way."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(), name="redis-connect")

    async def _connect(self) -> None:
        """Go on with a connection that answers.  Redis is away when it refuses one, or after ATTEMPTS in all."""
        reason = f"no answer within {self._timeout_s} s"
        while (left := ATTEMPTS - self._unanswered) > 0:
            attempts = 1 if self._link is not None else left  # opening one takes several answers of a slow Redis
            try:
                connection = await self._connector.open(attempts * self._attempt_s)
            except TimeoutError:
                self._unanswered += attempts
            except (RedisError, OSError) as error:
                reason = str(error) or type(error).__name__
                if self._link is None:
                    break
                self._unanswered += 1  # it may be no more than one connection too many
                await self._give_link_time()
            else:
                try:
                    await self._give_link_time()
                except BaseException:
                    await connection.disconnect(nowait=True)
                    raise
                self._use(connection)
                return
        self._begin_absence(reason)

    async def _give_link_time(self) -> None:
        """Wait as long again for the connection that is silent, if there is one; its answer cancels this task."""
        for _ in range(PAUSES):
            if self._link is None:
                return
            await asyncio.sleep(self._pause_s)

    def _use(self, connection: AbstractConnection) -> None:
        """Continue on a new connection."""
        self._connecting = None
        old, self._link = self._link, Link(self._on_reply, self._on_lost, connection)
        if old is not None:
            old.abort()
            self._take_back("Redis answers on another connection only")
        self._send_batch()

    def _trust(self) -> None:
        """End all doubt: Redis has answered."""
        self._unanswered = 0
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None

    def _take_back(self, reason: str) -> None:
        """Queue calls that are out once more, and fail those that must not run twice."""
        sent = [call for call in self._out if call.script.repeatable]
        for call in self._out:
            if not call.script.repeatable:
                call.fail(LimiterUnavailableError(reason))
        self._waiting = [*self._unknown_script, *sent, *self._waiting]
        self._unknown_script = []
        self._out.clear()

    def _begin_absence(self, reason: str) -> None:
        """Fail every call and probe until Redis is back."""
        self._up.clear()
        self.away_because = reason
        self._absences += 1
        self._unanswered = 0
        self._fail(reason, NotSentError)
        self._connecting = asyncio.create_task(self._probe(), name="redis-probe")

    def _fail(self, reason: str, for_waiting: type[LimiterUnavailableError]) -> None:
        """Fail every call and hang up."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        for call in (*self._out, *self._unknown_script):
            call.fail(LimiterUnavailableError(reason))
        for call in self._waiting:
            call.fail(for_waiting(reason))
        self._out.clear()
        self._unknown_script, self._waiting = [], []
        self._busy = False
        link, self._link = self._link, None
        if link is not None:
            link.abort()

    async def _probe(self) -> None:
        while not self.up:
            await asyncio.sleep(PROBE_EVERY_S * 2 ** min(self._absences - 1, MAX_DOUBLINGS))
            try:
                connection = await self._connector.open(self._timeout_s)
            except (RedisError, OSError):
                continue
            self._up.set()
            self._use(connection)


def _with_source(call: Call) -> Call:
    return call._replace(packed=pack("EVAL", call.script.source, *call.arguments))
