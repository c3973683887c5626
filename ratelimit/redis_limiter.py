"""The limiter that all replicas share: one Lua script per decision, on Redis's own clock.

Lives here: keys, arguments and replies of the scripts in lua/.  Not here: transport (coalescer), waiting times (plan).

The window's key carries the whole user key as its hash tag, so both live in one slot of a Redis Cluster
(names with braces excepted: Redis then reads another tag; without a cluster they work).
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources

from ratelimit.coalescer import Coalescer, Reply, Script
from ratelimit.limits import (
    Charge,
    LimitKind,
    MalformedUserError,
    Reservation,
    UnknownUser,
    Usage,
    User,
    Verdict,
)
from ratelimit.plan import Obstacle, Reading, admitted, quotas, refused

USER_KEY_PREFIX = "aibrix-users/"
"""Contracts section 2."""

MAX_LIMIT = 2**53
"""The largest integer that Lua's numbers hold exactly; a larger limit is malformed, a larger charge counts as this."""

_REFUSED, _ADMITTED, _UNKNOWN, _MALFORMED = range(4)  # the first number of a reply


def _script(*names: str) -> Script:
    folder = resources.files("ratelimit") / "lua"
    return Script.of("\n".join((folder / f"{name}.lua").read_text() for name in names))


_RESERVE = _script("window", "reserve")
_SETTLE = _script("settle")
_USAGE = _script("window", "usage")
_ABSORB = _script("window", "absorb")


def user_key(name: str) -> str:
    """Where the user's record is stored."""
    return USER_KEY_PREFIX + name


def window_key(name: str) -> str:
    """Where the user's window is stored."""
    return f"forebay:{{{USER_KEY_PREFIX}{name}}}:window"


class RedisLimiter:
    """A `Limiter` on the Redis at `url`; no call waits longer than `timeout_s`.

    `clock` (seconds) replaces Redis's time in tests; replicas must not bring their own.
    """

    def __init__(self, url: str, timeout_s: float, clock: Callable[[], float] | None = None) -> None:
        self._calls = Coalescer(url, (_RESERVE, _SETTLE, _USAGE, _ABSORB), timeout_s)
        self._clock = clock
        self._ahead_s = 0.0  # Redis's clock less our monotonic one

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

    async def reserve(self, charge: Charge) -> Verdict:
        """See `Limiter.reserve`."""
        return await self._ask(charge, "")

    async def check(self, charge: Charge) -> Verdict:
        """See `Limiter.check`."""
        return await self._ask(charge, "check")

    async def settle(self, reservation: Reservation, tokens: int) -> None:
        """See `Limiter.settle`."""
        arguments = (reservation.slot, min(reservation.tokens, MAX_LIMIT), min(tokens, MAX_LIMIT))
        await self._calls.call(_SETTLE, (window_key(reservation.user),), arguments)

    async def usage(self, user: str) -> Usage | None:
        """See `Limiter.usage`."""
        reply = await self._calls.call(_USAGE, (user_key(user), window_key(user)), (self._time(),))
        if reply[0] == _UNKNOWN:
            return None
        if reply[0] == _MALFORMED:
            raise MalformedUserError(user)
        _, now_us, rpm, tpm, *counted = reply
        known = _user(user, rpm, tpm)
        return Usage(known, *quotas(known, Reading(now_us / 1e6, *counted)))

    def absorb(self, user: str, handover: str, slots: Mapping[int, tuple[int, int]]) -> Awaitable[Reply]:
        """Add requests and tokens by slot to a user's window; a `handover` that arrives twice counts once.

        Queued when this returns: calls made later run later.
        """
        marker = f"forebay:{{{USER_KEY_PREFIX}{user}}}:absorbed:{handover}"
        numbers = [number for slot in sorted(slots) for number in (slot, *slots[slot])]
        return self._calls.call(_ABSORB, (window_key(user), marker), (self._time(), *numbers))

    async def aclose(self) -> None:
        """Disconnect."""
        await self._calls.aclose()

    async def _ask(self, charge: Charge, only: str) -> Verdict:
        keys = (user_key(charge.user), window_key(charge.user))
        reply = await self._calls.call(_RESERVE, keys, (self._time(), min(charge.tokens, MAX_LIMIT), only))
        return self._verdict(charge, reply)

    def _time(self) -> str:
        """What the scripts take for the time; empty = Redis's own."""
        return "" if self._clock is None else str(round(self._clock() * 1e6))

    def _verdict(self, charge: Charge, reply: Reply) -> Verdict:
        status = reply[0]
        if status == _UNKNOWN:
            return UnknownUser(charge.user)
        if status == _MALFORMED:
            raise MalformedUserError(charge.user)
        _, now_us, rpm, tpm, requests, tokens, requests_slot, tokens_slot, *until = reply
        now_s = now_us / 1e6
        self._ahead_s = now_s - time.monotonic()
        user = _user(charge.user, rpm, tpm)
        reading = Reading(now_s, requests, tokens, requests_slot, tokens_slot)
        if status == _REFUSED:
            return refused(user, _obstacles(user, *until), reading)
        return admitted(user, Reservation(charge.user, requests_slot, charge.tokens), reading)


def _user(name: str, rpm: int, tpm: int) -> User:
    return User(name, None if rpm < 0 else rpm, None if tpm < 0 else tpm)


def _obstacles(user: User, rpm_until: int, tpm_until: int) -> list[Obstacle]:
    """Slots as the script returns them: 0 = not in the way, -1 = for ever."""
    found = ((LimitKind.RPM, user.rpm, rpm_until), (LimitKind.TPM, user.tpm, tpm_until))
    return [
        Obstacle(kind, limit, until if until > 0 else None)
        for kind, limit, until in found
        if limit is not None and until != 0
    ]
