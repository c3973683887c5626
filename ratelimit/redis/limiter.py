"""The limiter that all replicas share: one Lua script per decision, on Redis's own clock.

Lives here: keys, arguments and replies of the scripts in lua/.  Not here: sending them (batching).

A user's keys have the key of the user's record as their hash tag, so all of them are in one slot of a Redis Cluster.
Names with braces are the exception, because Redis reads another tag in them; without a cluster they work.
"""

import asyncio
import contextlib
import math
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache

from ratelimit.kinds import LIMIT_KINDS, MODEL_KINDS, NOTHING, USER, USER_KINDS, WINDOW_UNITS, Amounts, LimitKind
from ratelimit.limits import (
    MAX_LIMIT,
    UNCOUNTED_SLOT,
    UNLIMITED,
    Admitted,
    Charge,
    LimiterUnavailableError,
    MalformedUserError,
    Quota,
    Refused,
    Reservation,
    UnknownUser,
    Usage,
    Verdict,
    uncounted,
)
from ratelimit.questions import Question, failed, known
from ratelimit.redis.batching import BatchedCalls, NotSentError, Reply
from ratelimit.redis.cluster import ClusterCalls
from ratelimit.redis.connection import Argument
from ratelimit.redis.permits import RENEW_S, Permits
from ratelimit.redis.scripts import (
    ABSORB,
    HEARTBEAT,
    LEASE,
    LIMITER_SCRIPTS,
    MODEL_RPS,
    RESERVE,
    RESERVE_COMPAT,
    SETTLE,
    USAGE,
    USAGE_COMPAT,
)
from ratelimit.window import Obstacle, refused

USER_KEY_PREFIX = "aibrix-users/"
"""The prefix of the keys of user records (docs/contracts.md section 2)."""

REPLICAS_KEY = "forebay:replicas"
"""A sorted set of the replicas by the time of their last heartbeat."""

REMEMBERED = 8192
"""How many users' key names are cached (chosen: 2 MB)."""

_REFUSED, _ADMITTED, _UNKNOWN, _MALFORMED = range(4)  # the first number of a reply
_KINDS = {kind.name.encode(): kind for kind in LIMIT_KINDS}
_BOTH_KINDS = USER_KINDS + MODEL_KINDS
_CHARGED_FROM = 5  # where a reply of lua/reserve.lua tells the amounts that it charges
_SHOWN_FROM = _CHARGED_FROM + len(WINDOW_UNITS)  # where it begins to show the windows


@lru_cache(maxsize=REMEMBERED)
def user_key(name: str) -> str:
    """Return the key of a user's record."""
    return USER_KEY_PREFIX + name


@lru_cache(maxsize=REMEMBERED)
def window_key(name: str, model: str = "") -> str:
    """Return the key of the user's window, or of the one for a model."""
    key = f"forebay:{{{USER_KEY_PREFIX}{name}}}:window"
    return f"{key}:model:{model}" if model else key


def model_key(model: str) -> str:
    """Return the key of the window of a model's requests per second."""
    return f"forebay:{{model/{model}}}:window"


class RedisLimiter:
    """A `Limiter` on the Redis at `url`; no call waits longer than `timeout_s`.

    `clock` (seconds) replaces Redis's time in tests.  On a `cluster` the window of a model's requests per second is on
    another node than the user's: it is charged first, and given back when the user is refused.  With `compat`, zeros in
    records that AIBrix v0.2.1 could have written are read as it reads them.  `replica` is a name that no other replica
    has; empty: one is drawn.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float,
        clock: Callable[[], float] | None = None,
        *,
        cluster: bool = False,
        compat: bool = False,
        replica: str = "",
    ) -> None:
        self._calls = (ClusterCalls if cluster else BatchedCalls)(url, LIMITER_SCRIPTS, timeout_s)
        self._cluster = cluster
        self._reserve_script, self._usage_script = (RESERVE_COMPAT, USAGE_COMPAT) if compat else (RESERVE, USAGE)
        self._clock = clock
        self._ahead_s = 0.0  # Redis's clock minus our monotonic one
        self._replica = f"@{replica or uuid.uuid4().hex[:12]}"
        self._permits = Permits()
        self.share = (0, 1)
        """This replica's index, from 0, and how many replicas live, as last heard."""

    @property
    def up(self) -> bool:
        """Whether Redis answered last time."""
        return self._calls.up

    @property
    def away_because(self) -> str:
        """Why Redis is away, or was last."""
        return self._calls.away_because

    async def wait_up(self) -> None:
        """Return as soon as Redis answers."""
        await self._calls.wait_up()

    def now_s(self) -> float:
        """Return Redis's time, reckoned from the last verdict."""
        return time.monotonic() + self._ahead_s

    def running(self, user: str) -> int:
        """Return how many permits of the user this replica's requests hold."""
        return self._permits[user]

    def take_permit(self, user: str) -> None:
        """Note that a request which was admitted without Redis holds a permit; the next renewal tells Redis."""
        self._permits.take(user)

    def reserve(self, charge: Charge) -> Awaitable[Verdict]:
        """See `Limiter.reserve`."""
        if not charge.user:
            return self._ask_model(charge, takes=True)
        if self._cluster and charge.rps is not None:
            return Question(self._reserve_across_nodes, charge)
        try:
            reply = self._ask(charge, takes=True)
        except NotSentError as error:
            return failed(error)
        if self._permits.ask(charge.user):
            reply.add_done_callback(lambda _: self._permits.answered(charge.user))
        return Question(self._reserved, charge, reply)

    async def _reserved(self, charge: Charge, reply: asyncio.Future[Reply]) -> Verdict:
        verdict = self._verdict(charge, await reply)
        if isinstance(verdict, Admitted) and verdict.reservation.permits:
            self._permits.take(charge.user)
        return verdict

    def check(self, charge: Charge) -> Awaitable[Verdict]:
        """See `Limiter.check`."""
        if not charge.user:
            return self._ask_model(charge, takes=False)
        if self._cluster and charge.rps is not None:
            return Question(self._check_across_nodes, charge)
        try:
            reply = self._ask(charge, takes=False)
        except NotSentError as error:
            return failed(error)
        return Question(self._checked, charge, reply)

    async def _checked(self, charge: Charge, reply: asyncio.Future[Reply]) -> Verdict:
        return self._verdict(charge, await reply, taken=False)

    async def settle(
        self, reservation: Reservation, used: Amounts, changes: Mapping[str, Amounts] | None = None
    ) -> None:
        """See `Limiter.settle`."""
        changes = changes or {"": used.minus(reservation.amounts)}
        if any(change != NOTHING for change in changes.values()):
            await self.correct(reservation, changes)

    def correct(self, reservation: Reservation, changes: Mapping[str, Amounts]) -> Awaitable[Reply]:
        """Change what requests of a reservation's slot were charged, each by its id once.

        The call is queued when this returns, ahead of calls made later.
        """
        user, model = reservation.user, reservation.model
        keys = (window_key(user), window_key(user, model)) if model else (window_key(user),)
        return self._calls.call(SETTLE, keys, _corrections(reservation.slot, changes))

    def release(self, reservation: Reservation) -> None:
        """See `Limiter.release`.  Nobody waits for the answer: if it is lost, the next renewal corrects the number."""
        if reservation.permits:
            self._permits.give_back(reservation.user)
            self._send_permits(reservation.user, None, -1)

    async def usage(self, user: str) -> Usage | None:
        """See `Limiter.usage`."""
        reply = await self._calls.call(self._usage_script, (user_key(user), window_key(user)), (self._time(),))
        if reply[0] == _UNKNOWN:
            return None
        if reply[0] == _MALFORMED:
            raise MalformedUserError(user)
        return Usage(user, _quotas(reply, 1, USER_KINDS))

    def absorb(self, user: str, model: str, handover: str, slots: Mapping[int, Amounts]) -> Awaitable[Reply]:
        """Add amounts by slot to a window, whatever its limits say.

        A `handover` that arrives twice counts once.  The call is queued when this returns, ahead of calls made later.
        """
        marker = f"forebay:{{{USER_KEY_PREFIX}{user}}}:absorbed:{handover}"
        amounts = [number for slot in sorted(slots) for number in (slot, *slots[slot].window)]
        arguments: list[Argument] = [self._time(), *amounts]
        return self._calls.call(ABSORB, (window_key(user, model), marker), arguments)

    async def run(self) -> None:
        """Send heartbeats and renew permits, for ever; cancel to stop."""
        while True:
            if self.up:
                self.renew()
                with contextlib.suppress(LimiterUnavailableError):
                    await self.beat()
            await asyncio.sleep(RENEW_S)

    async def beat(self) -> None:
        """Send a heartbeat and learn how many replicas live."""
        index, count = await self._calls.call(HEARTBEAT, (REPLICAS_KEY,), (self._time(), self._replica))
        self.share = (index, count)

    def renew(self) -> None:
        """Renew the permits of running requests."""
        for user, held in self._permits.renewals():
            self._send_permits(user, held, 0)

    async def aclose(self) -> None:
        """Disconnect."""
        await self._calls.aclose()

    async def _reserve_across_nodes(self, charge: Charge) -> Verdict:
        of_user = charge._replace(rps=None)
        of_model, slot = await self._model_verdict(charge, self._call_model(charge, takes=True))
        if isinstance(of_model, Refused):
            return _longer(await self.check(of_user), of_model)
        verdict: Verdict | None = None
        try:
            verdict = await self.reserve(of_user)
        finally:
            if not isinstance(verdict, Admitted):
                with contextlib.suppress(LimiterUnavailableError):  # its charge leaves within a second
                    given_back = _corrections(slot, {"": NOTHING.minus(charge.amounts)})
                    await self._calls.call(SETTLE, (model_key(charge.model),), given_back)
        return verdict

    async def _check_across_nodes(self, charge: Charge) -> Verdict:
        verdict = await self.check(charge._replace(rps=None))
        of_model, _ = await self._model_verdict(charge, self._call_model(charge, takes=False))
        return _longer(verdict, of_model)

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
        amounts = _clamped(charge.amounts)
        arguments: list[Argument] = [self._time(), charge.rps or 0, 1 if takes else 0, *amounts.window]
        return self._calls.call(MODEL_RPS, (model_key(charge.model),), arguments)

    async def _model_verdict(self, charge: Charge, reply: asyncio.Future[Reply]) -> tuple[Admitted | Refused, int]:
        """Return the verdict on the model's requests per second, and the slot that was charged."""
        status, *obstacle = await reply
        if status == _REFUSED:
            return refused(_obstacles(obstacle), UNLIMITED, None), UNCOUNTED_SLOT
        return uncounted(charge), obstacle[0]

    def _send_permits(self, user: str, held: int | None, change: int) -> None:
        arguments: list[Argument] = [self._time(), self._replica, "" if held is None else held, change]
        with contextlib.suppress(NotSentError):
            self._calls.call(LEASE, (f"{window_key(user)}:leases",), arguments)

    def _ask(self, charge: Charge, *, takes: bool) -> asyncio.Future[Reply]:
        user, amounts, model, rps, certain = charge[:5]
        keys = [user_key(user), window_key(user)]
        if rps is not None:
            keys.append(model_key(model))
        if max(amounts) > MAX_LIMIT:
            amounts = _clamped(amounts)
            certain = certain and _clamped(certain)
        arguments = (
            self._time(), model, self._replica, 1 if takes else 0, "" if rps is None else rps,
            *amounts.window, *(certain or amounts).window,
        )  # fmt: skip
        return self._calls.call(self._reserve_script, keys, arguments)

    def _time(self) -> str:
        """Return the scripts' argument for the time; empty = Redis's own."""
        return "" if self._clock is None else str(round(self._clock() * 1e6))

    def _verdict(self, charge: Charge, reply: Reply, *, taken: bool = True) -> Verdict:
        status = reply[0]
        if status == _UNKNOWN:
            return UnknownUser(charge.user)
        if status == _MALFORMED:
            raise MalformedUserError(charge.user)
        now_us, concurrency, has_model, slot = reply[1:_CHARGED_FROM]
        self._ahead_s = now_us / 1e6 - time.monotonic()
        kinds = _BOTH_KINDS if has_model else USER_KINDS
        counted = _quotas(reply, _SHOWN_FROM, kinds)
        permits = None if concurrency < 0 else concurrency
        if status == _REFUSED:
            return refused(_obstacles(reply[_SHOWN_FROM + 3 * len(kinds) :]), counted, permits)
        model = charge.model if has_model else ""
        amounts = Amounts(*reply[_CHARGED_FROM:_SHOWN_FROM])
        reservation = Reservation(charge.user, slot if taken else 0, amounts, model, () if permits is None else (USER,))
        return Admitted(reservation, counted, permits)


def _longer(of_user: Verdict, of_model: Verdict) -> Verdict:
    """Return the verdict that stands: a refusal rather than an admission, of two refusals the one with the longer wait.

    Its quotas are the user's.
    """
    if isinstance(of_user, UnknownUser) or not isinstance(of_model, Refused):
        return of_user
    if isinstance(of_user, Refused) and _wait_s(of_user) >= _wait_s(of_model):
        return of_user
    return Refused(of_model.kind, of_model.limit, of_model.retry_after_s, of_user.quotas, of_user.concurrency)


def _wait_s(verdict: Refused) -> float:
    return math.inf if verdict.retry_after_s is None else verdict.retry_after_s


def _clamped(amounts: Amounts) -> Amounts:
    """Return amounts that Lua holds exactly."""
    return Amounts(*[max(-MAX_LIMIT, min(amount, MAX_LIMIT)) for amount in amounts])


def _corrections(slot: int, changes: Mapping[str, Amounts]) -> list[Argument]:
    """Return what lua/settle.lua takes: the slot, and of each request that changes anything its id and the amounts."""
    arguments: list[Argument] = [slot]
    for request, change in changes.items():
        if change != NOTHING:
            arguments.append(request)
            arguments += _clamped(change).window
    return arguments


def _quotas(reply: Reply, first: int, kinds: Sequence[LimitKind]) -> dict[LimitKind, Quota]:
    """Read the limit, the use and the microseconds to its reset of each kind, from `first` on."""
    shown = {}
    for kind in kinds:
        limit, used, reset_us = reply[first : first + 3]
        shown[kind] = Quota(None if limit < 0 else limit, used, reset_us / 1e6)
        first += 3
    return shown


def _obstacles(found: Reply) -> list[Obstacle]:
    """Read the name, the limit and the microseconds of each; -1 = for ever."""
    return [
        Obstacle(_KINDS[name], limit, wait_us / 1e6 if wait_us >= 0 else None)
        for name, limit, wait_us in zip(found[::3], found[1::3], found[2::3], strict=True)
    ]
