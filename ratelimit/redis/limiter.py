"""The limiter that all replicas share: one Lua script per decision, on Redis's own clock.

Lives here: keys, arguments and replies of the scripts in lua/.  Not here: transport (coalescer), waiting times (plan).

A user's keys carry the whole key of the record as their hash tag, so all live in one slot of a Redis Cluster
(names with braces excepted: Redis then reads another tag; without a cluster they work).
"""

import asyncio
import contextlib
import itertools
import math
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from importlib import resources

from ratelimit.limits import (
    UNCOUNTED_SLOT,
    UNLIMITED,
    Admitted,
    Charge,
    LimiterUnavailableError,
    LimitKind,
    LostAnswerError,
    MalformedUserError,
    Quota,
    Refused,
    Reservation,
    UnknownUser,
    Usage,
    User,
    Verdict,
    uncounted,
)
from ratelimit.questions import Question, failed, known
from ratelimit.redis.batching import Argument, Coalescer, NotSentError, Reply, Script
from ratelimit.redis.cluster import ClusterCalls
from ratelimit.redis.leases import RENEW_S, Leases
from ratelimit.redis.refusals import Refusals
from ratelimit.redis.tracking import Tracking
from ratelimit.window import Obstacle, leaves_in_s, refused

USER_KEY_PREFIX = "aibrix-users/"
"""Contracts section 2."""

REPLICAS_KEY = "forebay:replicas"
"""Who is alive, by when it last said so."""

REMEMBERED = 8192
"""Keys kept (chosen: 2 MB)."""

MAX_LIMIT = 2**53
"""The largest integer that Lua's numbers hold exactly; a larger limit is malformed, a larger charge counts as this."""

_REFUSED, _ADMITTED, _UNKNOWN, _MALFORMED, _LATE = range(5)  # the first number of a reply
_KINDS = tuple(LimitKind)
_USERS, _MODELS = slice(5, 11), slice(11, 17)  # where a reply shows the user's window and the one for the model


def _script(*names: str) -> Script:
    folder = resources.files("ratelimit.redis") / "lua"
    return Script.of("\n".join((folder / f"{name}.lua").read_text() for name in names))


_RESERVE = _script("window", "reserve")
_SETTLE = _script("settle")
_USAGE = _script("window", "usage")
_ABSORB = _script("window", "absorb")
_LEASE = _script("window", "lease")
_HEARTBEAT = _script("window", "heartbeat")
_MODEL_RPS = _script("window", "model_rps")


@lru_cache(maxsize=REMEMBERED)
def user_key(name: str) -> str:
    """Where the user's record is stored."""
    return USER_KEY_PREFIX + name


@lru_cache(maxsize=REMEMBERED)
def window_key(name: str, model: str = "") -> str:
    """Where the user's window is stored, or the one for a model."""
    key = f"forebay:{{{USER_KEY_PREFIX}{name}}}:window"
    return f"{key}:model:{model}" if model else key


def model_key(model: str) -> str:
    """Where the window of a model's requests per second is stored."""
    return f"forebay:{{model/{model}}}:window"


class RedisLimiter:
    """A `Limiter` on the Redis at `url`; no call waits longer than `timeout_s`.

    `clock` (seconds) replaces Redis's time in tests; replicas must not bring their own.  On a `cluster` the window of a
    model's requests per second is another node's: it is charged first, and given back when the user is refused.
    """

    def __init__(
        self, url: str, timeout_s: float, clock: Callable[[], float] | None = None, *, cluster: bool = False
    ) -> None:
        scripts = (_RESERVE, _SETTLE, _USAGE, _ABSORB, _LEASE, _HEARTBEAT, _MODEL_RPS)
        self._calls = ClusterCalls(url, scripts, timeout_s) if cluster else Coalescer(url, scripts, timeout_s)
        self._cluster = cluster
        self._clock = clock
        self._ahead_s = 0.0  # Redis's clock less our monotonic one
        self._replica = f"@{uuid.uuid4().hex[:12]}"
        self._numbers = itertools.count(1)
        self._leases = Leases()
        self._refusals = Refusals()
        self._tracking = Tracking(url, timeout_s, USER_KEY_PREFIX, self._refusals.drop)
        self.share = (0, 1)
        """This replica's place among how many that live, as last heard."""

    @property
    def up(self) -> bool:
        """Whether Redis answered last time."""
        return self._calls.up

    async def wait_up(self) -> None:
        """Return as soon as Redis answers."""
        await self._calls.wait_up()

    def now_s(self) -> float:
        """Redis's clock, carried on from the last verdict."""
        return time.monotonic() + self._ahead_s

    def running(self, user: str) -> int:
        """Places of the user that this replica's requests hold."""
        return self._leases[user]

    def take_place(self, user: str) -> None:
        """A request that was admitted without Redis holds a place of the user; the next renewal tells."""
        self._leases.took(user)

    def reserve(self, charge: Charge) -> Awaitable[Verdict]:
        """See `Limiter.reserve`.  Awaiting raises LostAnswerError when the charge may have been taken."""
        if not charge.user:
            return self._ask_model(charge, takes=True)
        if self._cluster and charge.rps is not None:
            return Question(self._reserve_across_nodes, charge)
        if charge.user in self._refusals:
            repeated = self._refusals.find(charge)
            if repeated is not None and self._tracking.is_quiet():
                return known(repeated)
        number, changes = next(self._numbers), self._tracking.changes
        try:
            reply = self._ask(charge, number)
        except NotSentError as error:
            return failed(error)
        if self._leases.ask(charge.user):
            reply.add_done_callback(lambda _: self._leases.answered(charge.user))
        return Question(self._reserved, charge, reply, number, changes)

    async def _reserved(self, charge: Charge, reply_of: asyncio.Future[Reply], number: int, changes: int) -> Verdict:
        try:
            reply = await reply_of
        except NotSentError:
            raise
        except LimiterUnavailableError as error:
            raise LostAnswerError(number, str(error)) from error
        verdict = self._verdict(charge, reply)
        if isinstance(verdict, Refused):
            if self._tracking.up and self._tracking.changes == changes:
                self._refusals.keep(charge, verdict, reply[3] / 1e6)
        elif isinstance(verdict, Admitted) and verdict.reservation.holds_permit:
            self._leases.took(charge.user)
        return verdict

    def check(self, charge: Charge) -> Awaitable[Verdict]:
        """See `Limiter.check`."""
        if not charge.user:
            return self._ask_model(charge, takes=False)
        if self._cluster and charge.rps is not None:
            return Question(self._check_across_nodes, charge)
        try:
            reply = self._ask(charge, None)
        except NotSentError as error:
            return failed(error)
        return Question(self._checked, charge, reply)

    async def _checked(self, charge: Charge, reply: asyncio.Future[Reply]) -> Verdict:
        return self._verdict(charge, await reply, taken=False)

    async def settle(self, reservation: Reservation, tokens: int, *, requests: int = 0) -> None:
        """See `Limiter.settle`."""
        user, model = reservation.user, reservation.model
        keys = (window_key(user), window_key(user, model)) if model else (window_key(user),)
        arguments = (reservation.slot, min(reservation.tokens, MAX_LIMIT), min(tokens, MAX_LIMIT), requests)
        try:
            await self._calls.call(_SETTLE, keys, arguments)
        finally:  # now, because a refusal of before it may have been kept while it was on its way
            self._refusals.drop(user)

    def release(self, reservation: Reservation) -> None:
        """See `Limiter.release`.  Not waited for: what is lost the next renewal puts right."""
        if reservation.holds_permit:
            self._leases.gave_back(reservation.user)
            self._tell(reservation.user, None, -1)

    async def usage(self, user: str) -> Usage | None:
        """See `Limiter.usage`."""
        reply = await self._calls.call(_USAGE, (user_key(user), window_key(user)), (self._time(),))
        if reply[0] == _UNKNOWN:
            return None
        if reply[0] == _MALFORMED:
            raise MalformedUserError(user)
        _, now_us, *shown = reply
        requests, tokens = _quotas(now_us, shown)
        return Usage(User(user, requests.limit, tokens.limit), requests, tokens)

    def absorb(
        self,
        user: str,
        model: str,
        handover: str,
        slots: Mapping[int, tuple[int, int]],
        lost: Sequence[tuple[int, int]] = (),
    ) -> Awaitable[Reply]:
        """Add requests and tokens by slot to a window, and take back what `lost` calls (number, tokens) had charged.

        A `handover` that arrives twice counts once.  Queued when this returns: calls made later run later.
        """
        self._refusals.drop(user)
        marker = f"forebay:{{{USER_KEY_PREFIX}{user}}}:absorbed:{handover}"
        numbers = [number for slot in sorted(slots) for number in (slot, *slots[slot])]
        calls = [number for call in lost for number in call]
        fence = 0 if model else self._calls.batch_for(window_key(user))
        arguments: list[Argument] = [self._time(), self._replica, fence, len(lost), *calls, *numbers]
        return self._calls.call(_ABSORB, (window_key(user, model), marker), arguments)

    async def run(self) -> None:
        """Say that this replica lives, renew its places and hear of changed users, for ever; cancel to stop."""
        while True:
            if self.up:
                self.renew()
                with contextlib.suppress(LimiterUnavailableError):
                    await self.beat()
                if not self._cluster:  # there each node would have to be asked
                    await self._tracking.keep()
            await asyncio.sleep(RENEW_S)

    async def beat(self) -> None:
        """Say that this replica lives, and learn how many do."""
        first, count = await self._calls.call(_HEARTBEAT, (REPLICAS_KEY,), (self._time(), self._replica))
        self.share = (first, count)

    def renew(self) -> None:
        """Keep the places of running requests."""
        for user, held in self._leases.renewals():
            self._tell(user, held, 0)

    async def aclose(self) -> None:
        """Disconnect."""
        await self._tracking.aclose()
        await self._calls.aclose()

    async def _reserve_across_nodes(self, charge: Charge) -> Verdict:
        of_user = charge._replace(rps=None)
        second, slot = await self._model_verdict(charge, self._call_model(charge, takes=True))
        if isinstance(second, Refused):
            return _longer(await self.check(of_user), second)
        verdict: Verdict | None = None
        try:
            verdict = await self.reserve(of_user)
        finally:
            if not isinstance(verdict, Admitted):
                with contextlib.suppress(LimiterUnavailableError):  # it is gone within a second
                    await self._calls.call(_SETTLE, (model_key(charge.model),), (slot, 0, 0, 1))
        return verdict

    async def _check_across_nodes(self, charge: Charge) -> Verdict:
        verdict = await self.check(charge._replace(rps=None))
        second, _ = await self._model_verdict(charge, self._call_model(charge, takes=False))
        return _longer(verdict, second)

    def _ask_model(self, charge: Charge, *, takes: bool) -> Awaitable[Verdict]:
        """Ask about the model's requests per second alone, for a charge of no user."""
        if charge.rps is None:
            return known(uncounted(charge))
        try:
            reply = self._call_model(charge, takes=takes)
        except NotSentError as error:
            return failed(error)
        return Question(self._asked_model, charge, reply)

    async def _asked_model(self, charge: Charge, reply: asyncio.Future[Reply]) -> Verdict:
        verdict, _ = await self._model_verdict(charge, reply)
        return verdict

    def _call_model(self, charge: Charge, *, takes: bool) -> asyncio.Future[Reply]:
        """Precondition: the charge has a limit of requests per second."""
        arguments: list[Argument] = [self._time(), charge.rps or 0, 1 if takes else 0]
        return self._calls.call(_MODEL_RPS, (model_key(charge.model),), arguments)

    async def _model_verdict(self, charge: Charge, reply: asyncio.Future[Reply]) -> tuple[Admitted | Refused, int]:
        """The verdict on the model's requests per second, and the slot that was charged."""
        status, *obstacle = await reply
        if status == _REFUSED:
            return refused(_obstacles(obstacle), (UNLIMITED, UNLIMITED), None, None), UNCOUNTED_SLOT
        return uncounted(charge), obstacle[0]

    def _tell(self, user: str, held: int | None, change: int) -> None:
        arguments: list[Argument] = [self._time(), self._replica, "" if held is None else held, change]
        with contextlib.suppress(NotSentError):
            self._calls.call(_LEASE, (f"{window_key(user)}:leases",), arguments)

    def _ask(self, charge: Charge, number: int | None) -> asyncio.Future[Reply]:
        """Reserve; without a number only look."""
        user, tokens, model, rps = charge
        window = window_key(user)
        keys = [user_key(user), window]
        batch: int | str = self._calls.batch_for(window) if number is not None else ""
        arguments: list[Argument] = [self._time(), min(tokens, MAX_LIMIT), model, self._replica, batch, number or 0]
        if rps is not None:
            keys.append(model_key(model))
            arguments.append(rps)
        return self._calls.call(_RESERVE, keys, arguments)

    def _time(self) -> str:
        """What the scripts take for the time; empty = Redis's own."""
        return "" if self._clock is None else str(round(self._clock() * 1e6))

    def _verdict(self, charge: Charge, reply: Reply, *, taken: bool = True) -> Verdict:
        status = reply[0]
        if status == _UNKNOWN:
            return UnknownUser(charge.user)
        if status == _MALFORMED:
            raise MalformedUserError(charge.user)
        if status == _LATE:
            raise NotSentError("came after its hand-over")
        now_us, concurrency, has_model = reply[1], reply[2], reply[4]
        self._ahead_s = now_us / 1e6 - time.monotonic()
        requests, tokens = _quotas(now_us, reply[_USERS])
        of_model = _quotas(now_us, reply[_MODELS]) if has_model else None
        places = None if concurrency < 0 else concurrency
        if status == _REFUSED:
            obstacles = _obstacles(reply[_MODELS.stop if has_model else _USERS.stop :])
            return refused(obstacles, (requests, tokens), of_model, places)
        slot, model = reply[9] if taken else 0, charge.model if has_model else ""
        reservation = Reservation(charge.user, slot, charge.tokens, model, places is not None)
        return Admitted(reservation, requests, tokens, of_model, places)


def _longer(of_user: Verdict, second: Verdict) -> Verdict:
    """One verdict of two, with the user's quotas: a refusal rather than an admission, then the longer wait."""
    if isinstance(of_user, UnknownUser) or not isinstance(second, Refused):
        return of_user
    if isinstance(of_user, Refused) and _wait_s(of_user) >= _wait_s(second):
        return of_user
    shown = of_user.requests, of_user.tokens, of_user.model, of_user.concurrency
    return Refused(second.kind, second.limit, second.retry_after_s, *shown)


def _wait_s(verdict: Refused) -> float:
    return math.inf if verdict.retry_after_s is None else verdict.retry_after_s


def _quotas(now_us: int, shown: Sequence[int]) -> tuple[Quota, Quota]:
    rpm, tpm, requests, tokens, requests_slot, tokens_slot = shown
    now_s = now_us / 1e6
    return _quota(rpm, requests, requests_slot, now_s), _quota(tpm, tokens, tokens_slot, now_s)


def _quota(limit: int, used: int, newest_slot: int, now_s: float) -> Quota:
    return Quota(None if limit < 0 else limit, used, leaves_in_s(newest_slot, now_s) if used else 0.0)


def _obstacles(found: Sequence[int]) -> list[Obstacle]:
    """Kind, limit and microseconds of each; -1 = for ever."""
    return [
        Obstacle(_KINDS[kind], limit, wait_us / 1e6 if wait_us >= 0 else None)
        for kind, limit, wait_us in zip(found[::3], found[1::3], found[2::3], strict=True)
    ]
