"""The limiter that all replicas share: one Lua script per decision, on Redis's own clock.

Lives here: which script is called when, on one server.  Not here: keys (names), arguments and replies (messages),
sending them (batching), the nodes of a Redis Cluster (apart).
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from ratelimit.kinds import GROUP, KEY, LEVEL_KINDS, LEVELS, NOTHING, USER, Amounts, Scope
from ratelimit.limits import (
    BUDGETS,
    UNCOUNTED_SLOT,
    UNLIMITED,
    Admitted,
    Charge,
    Holder,
    LimiterUnavailableError,
    MalformedUserError,
    Refused,
    Reservation,
    Reserve,
    UnknownUser,
    Usage,
    Verdict,
    uncounted,
)
from ratelimit.questions import Question, failed, known
from ratelimit.redis.batching import BatchedCalls, NotSentError, Reply
from ratelimit.redis.cluster import ClusterCalls
from ratelimit.redis.connection import Argument
from ratelimit.redis.messages import (
    MALFORMED,
    OTHERWISE,
    REFUSED,
    UNKNOWN,
    clamped,
    corrections,
    obstacles,
    quotas,
    read_verdict,
    reserve_arguments,
)
from ratelimit.redis.names import (
    REMEMBERED,
    REPLICAS_KEY,
    api_key_key,
    group_key,
    group_prefix,
    model_key,
    period_keys,
    prefix_of,
    user_key,
    user_prefix,
    window_key,
)
from ratelimit.redis.permits import RENEW_S, Permits
from ratelimit.redis.scripts import (
    ABSORB,
    ABSORB_BUDGETS,
    HEARTBEAT,
    LEASE,
    LIMITER_SCRIPTS,
    MODEL_RPS,
    MOVE,
    RESERVE,
    RESERVE_COMPAT,
    SETTLE,
    USAGE,
    USAGE_COMPAT,
)
from ratelimit.window import refused

K = TypeVar("K")
T = TypeVar("T")


class Wish(NamedTuple):
    """How a user's record wants charges to be made, as it was last heard."""

    reserve: Reserve | None = None
    group: str = ""


_NO_WISH = Wish()


class Part(NamedTuple):
    """The part of a reservation that one node of a Redis Cluster holds: in windows at a slot, and in periods."""

    slot: int
    windows: tuple[str, ...]
    periods: tuple[str, ...] = ()


class RedisLimiter:
    """A `Limiter` on the Redis at `url`; no call waits longer than `timeout_s`.

    `clock` (seconds) replaces Redis's time in tests.  With `compat`, zeros in records that AIBrix v0.2.1 could have
    written are read as it reads them.  `replica` is a name that no other replica has; empty: one is drawn.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float,
        clock: Callable[[], float] | None = None,
        *,
        compat: bool = False,
        replica: str = "",
    ) -> None:
        self._calls: BatchedCalls | ClusterCalls = BatchedCalls(url, LIMITER_SCRIPTS, timeout_s)
        self._usage_script = USAGE_COMPAT if compat else USAGE
        self._reserve_script = RESERVE_COMPAT if compat else RESERVE
        self._clock = clock
        self._ahead_s = 0.0  # Redis's clock minus our monotonic one
        self._replica = f"@{replica or uuid.uuid4().hex[:12]}"
        self._permits = Permits()
        self._holders: dict[Holder, tuple[Holder, ...]] = {}  # levels of permits, by user and by key if it has limits
        self._wishes: dict[str, Wish] = {}  # by user, of those whose records want other than was asked
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

    def running(self, holder: Holder) -> int:
        """Return how many permits of a level this replica's requests hold."""
        return self._permits[holder]

    def take_permits(self, reservation: Reservation) -> None:
        """Note that a request holds permits; where it was admitted without Redis the next renewal tells it."""
        holders = tuple(map(reservation.holder, reservation.permits))
        for holder in holders:
            self._permits.take(holder)
        sender = reservation.user, reservation.key
        if holders and self._holders.get(sender) != holders:
            _remember(self._holders, sender, holders)

    def reserve(self, charge: Charge) -> Awaitable[Verdict]:
        """See `Limiter.reserve`."""
        if not charge.user:
            return self._ask_model(charge, takes=True)
        try:
            reply = self._ask(charge, takes=True)
        except NotSentError as error:
            return failed(error)
        return Question(self._reserved, charge, reply)

    async def _reserved(self, charge: Charge, reply: asyncio.Future[Reply]) -> Verdict:
        answer = await reply
        if answer[0] == OTHERWISE:
            self._hear_wish(charge, answer)
            return await self.reserve(charge)
        verdict = self._verdict(charge, answer)
        if isinstance(verdict, Admitted) and verdict.reservation.permits:
            self.take_permits(verdict.reservation)
        return verdict

    def check(self, charge: Charge) -> Awaitable[Verdict]:
        """See `Limiter.check`."""
        if not charge.user:
            return self._ask_model(charge, takes=False)
        try:
            reply = self._ask(charge, takes=False)
        except NotSentError as error:
            return failed(error)
        return Question(self._checked, charge, reply)

    async def _checked(self, charge: Charge, reply: asyncio.Future[Reply]) -> Verdict:
        answer = await reply
        if answer[0] == OTHERWISE:
            self._hear_wish(charge, answer)
            return await self.check(charge)
        return self._verdict(charge, answer, taken=False)

    async def settle(
        self, reservation: Reservation, used: Amounts, changes: Mapping[str, Amounts] | None = None
    ) -> None:
        """See `Limiter.settle`."""
        changes = changes or {"": used.minus(reservation.amounts)}
        if reservation.is_hard or any(change != NOTHING for change in changes.values()):
            await self.correct(reservation, changes)

    def correct(self, reservation: Reservation, changes: Mapping[str, Amounts]) -> Awaitable[Any]:
        """Change what requests of a reservation's slot were charged, each by its id once.

        The call is queued when this returns, ahead of calls made later.
        """
        if reservation.is_hard:
            return self._move(reservation, *next(iter(changes.items())), has_ended=True)
        return _all(
            [
                self._calls.call(
                    SETTLE, (*part.windows, *part.periods), corrections(part.slot, len(part.windows), changes)
                )
                for part in self._parts(reservation)
            ]
        )

    async def renew(self, request: str, reservation: Reservation) -> None:
        """See `Limiter.renew`."""
        await self._move(reservation, request, NOTHING, has_ended=False)

    def _move(self, reservation: Reservation, request: str, change: Amounts, *, has_ended: bool) -> Awaitable[Any]:
        replies = []
        for slot, windows, periods in self._parts(reservation):
            arguments: list[Argument] = [self._time(), len(windows), request, slot, reservation.amounts.tokens]
            arguments += (1 if has_ended else 0, *clamped(change))
            replies.append(self._calls.call(MOVE, (*windows, *periods), arguments))
        return _all(replies)

    def release(self, reservation: Reservation) -> None:
        """See `Limiter.release`.  Nobody waits for the answer: if it is lost, the next renewal corrects the number."""
        for scope in reservation.permits:
            holder = reservation.holder(scope)
            self._permits.give_back(holder)
            self._send_permits(holder, None, -1)

    async def usage(self, user: str, key: str = "") -> Usage | None:
        """See `Limiter.usage`."""
        if not key:
            return await self._usage(user, USER, user_key(user), user_prefix(user))
        record = api_key_key(user, key)
        return await self._usage(key, KEY, record, record)

    async def group_usage(self, group: str) -> Usage | None:
        """See `Limiter.group_usage`."""
        return await self._usage(group, GROUP, group_key(group), group_prefix(group))

    async def _usage(self, name: str, scope: Scope, record: str, prefix: str) -> Usage | None:
        script = self._usage_script if scope is USER else USAGE
        reply = await self._calls.call(script, (record, f"{prefix}:window"), (self._time(),))
        if reply[0] == UNKNOWN:
            return None
        if reply[0] == MALFORMED:
            raise MalformedUserError(name)
        window, budgets, _ = LEVEL_KINDS[scope]
        return Usage(name, quotas(reply, 2, window + budgets if reply[1] else window))

    def absorb(self, holder: Holder, part: str, handover: str, slots: Mapping[int, Amounts]) -> Awaitable[Reply]:
        """Add amounts by slot to a level's window, to that for a model, or to its BUDGETS, whatever its limits say.

        A `handover` that arrives twice counts once.  The call is queued when this returns, ahead of calls made later.
        """
        prefix = prefix_of(holder)
        marker = f"{prefix}:absorbed:{handover}"
        if part == BUDGETS:
            keys = [key for slot in slots for key in period_keys(prefix, slot)]
            spent: list[Argument] = [number for amounts in slots.values() for number in amounts[1:]]
            return self._calls.call(ABSORB_BUDGETS, (marker, *keys), spent)
        window = f"{prefix}:window:model:{part}" if part else f"{prefix}:window"
        amounts = [number for slot in sorted(slots) for number in (slot, *slots[slot].window)]
        return self._calls.call(ABSORB, (window, marker), [self._time(), *amounts])

    async def run(self) -> None:
        """Send heartbeats and renew permits, for ever; cancel to stop."""
        while True:
            if self.up:
                self.renew_permits()
                with contextlib.suppress(LimiterUnavailableError):
                    await self.beat()
            await asyncio.sleep(RENEW_S)

    async def beat(self) -> None:
        """Send a heartbeat and learn how many replicas live."""
        index, count = await self._calls.call(HEARTBEAT, (REPLICAS_KEY,), (self._time(), self._replica))
        self.share = (index, count)

    def renew_permits(self) -> None:
        """Renew the permits of running requests."""
        for holder, held in self._permits.renewals():
            self._send_permits(holder, held, 0)

    async def aclose(self) -> None:
        """Disconnect."""
        await self._calls.aclose()

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
        amounts = clamped(charge.amounts)
        arguments: list[Argument] = [self._time(), charge.rps or 0, 1 if takes else 0, *amounts.window]
        return self._calls.call(MODEL_RPS, (model_key(charge.model),), arguments)

    async def _model_verdict(self, charge: Charge, reply: asyncio.Future[Reply]) -> tuple[Admitted | Refused, int]:
        """Return the verdict on the model's requests per second, and the slot that was charged."""
        status, *obstacle = await reply
        if status == REFUSED:
            return refused(obstacles(obstacle), UNLIMITED, None), UNCOUNTED_SLOT
        return uncounted(charge), obstacle[0]

    def _send_permits(self, holder: Holder, held: int | None, change: int) -> None:
        arguments: list[Argument] = [self._time(), self._replica, "" if held is None else held, change]
        with contextlib.suppress(NotSentError):
            self._calls.call(LEASE, (f"{prefix_of(holder)}:window:leases",), arguments)

    def _ask(self, charge: Charge, *, takes: bool, group: str = "") -> asyncio.Future[Reply]:
        """Ask about all that is on the user's node; `group` was charged on another."""
        user, model, rps = charge.user, charge.model, charge.rps
        keys = [user_key(user), window_key(user)]
        if rps is not None:
            keys.append(model_key(model))
        reserve = self._wishes[user].reserve if user in self._wishes else None
        arguments: list[Argument] = [
            self._time(), model, self._replica, 1 if takes else 0, "" if rps is None else rps,
            *reserve_arguments(charge, reserve, group),
        ]  # fmt: skip
        reply = self._calls.call(self._reserve_script, keys, arguments)
        if takes and self._holders:
            self._permits_asked(charge, reply)
        return reply

    def _permits_asked(self, charge: Charge, reply: asyncio.Future[Reply]) -> None:
        holders = self._holders.get((charge.user, charge.key)) or self._holders.get((charge.user, ""), ())
        asked = [holder for holder in holders if self._permits.ask(holder)]
        if asked:
            reply.add_done_callback(lambda _: self._permits.answered(*asked))

    def _wish(self, charge: Charge) -> Wish:
        return self._wishes.get(charge.user, _NO_WISH)

    def _hear_wish(self, charge: Charge, reply: Reply) -> None:
        reserve, group = (text.decode() for text in reply[1:3])
        _remember(self._wishes, charge.user, Wish(reserve or None, group))

    def _is_hard(self, charge: Charge) -> bool:
        return charge.bounds is not None and (self._wish(charge).reserve or charge.reserve) == "maximum"

    def _parts(self, reservation: Reservation) -> list[Part]:
        """Return the part of each node that holds some of a reservation."""
        return [part_of(reservation)]

    def _time(self) -> str:
        """Return the scripts' argument for the time; empty = Redis's own."""
        return "" if self._clock is None else str(round(self._clock() * 1e6))

    def _verdict(self, charge: Charge, reply: Reply, *, taken: bool = True) -> Verdict:
        verdict = read_verdict(charge, reply, taken=taken, is_hard=self._is_hard(charge))
        if not isinstance(verdict, UnknownUser):
            self._ahead_s = reply[1] / 1e6 - time.monotonic()
        return verdict


def part_of(reservation: Reservation, scopes: tuple[Scope, ...] = LEVELS) -> Part:
    """Return the part of a reservation that some levels hold."""
    user, slot, _, model = reservation[:4]
    windows: tuple[str, ...] = (window_key(user), window_key(user, model)) if model else (window_key(user),)
    if reservation.key or reservation.group or reservation.budgets:
        if reservation.key:
            windows += (f"{prefix_of(reservation.holder(KEY))}:window",)
        if reservation.group and GROUP in scopes:
            windows += (f"{prefix_of(reservation.holder(GROUP))}:window",)
        levels = [scope for scope in reservation.budgets if scope in scopes]
        periods = [key for scope in levels for key in period_keys(prefix_of(reservation.holder(scope)), slot)]
        return Part(slot, windows, tuple(periods))
    return Part(slot, windows)


def _remember(known: dict[K, T], key: K, value: T) -> None:
    known.pop(key, None)
    known[key] = value
    if len(known) > REMEMBERED:
        del known[next(iter(known))]


def _all(replies: Sequence[asyncio.Future[Reply]]) -> Awaitable[Any]:
    return replies[0] if len(replies) == 1 else asyncio.gather(*replies)
