"""Limiters in a world that a test rules: its users and its clock.

Lives here: the same handles on the in-memory and the Redis limiter.  Not here: what they must do.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ratelimit.kinds import RPM, TPM, USER_FIELDS, Amounts
from ratelimit.limits import Admitted, Charge, Limiter, Refused, Reservation, User, Verdict
from ratelimit.memory import MemoryLimiter
from ratelimit.redis.limiter import RedisLimiter, user_key
from tests.support.redis import RedisServer

T0_S = 1_700_000_000.0
TIMEOUT_S = 5.0  # generous: only tests of timeouts shorten it


@dataclass
class Clock:
    """Seconds; tests move it in 64ths, which floats and microseconds both hold exactly."""

    now_s: float = T0_S

    def __call__(self) -> float:
        return self.now_s


@dataclass
class World:
    """Users under the limiter's feet; `server` None = only memory."""

    server: RedisServer | None
    clock: Clock = field(default_factory=Clock)
    users: dict[str, User] = field(default_factory=dict)

    def put(self, user: User) -> None:
        self.users[user.name] = user
        if self.server is not None:
            put_user(self.server, user)

    def remove(self, name: str) -> None:
        self.users.pop(name, None)
        if self.server is not None:
            self.server.own_client.delete(user_key(name))


def put_user(server: RedisServer, user: User) -> None:
    """Store a user as other tools do."""
    limits = {kind.field: getattr(user, kind.field) for kind in USER_FIELDS}
    models = {model: rates._asdict() for model, rates in user.models.items()}
    server.own_client.set(user_key(user.name), json.dumps({"name": user.name, **limits, "models": models}))


@asynccontextmanager
async def a_limiter(world: World) -> AsyncIterator[Limiter]:
    if world.server is None:
        yield MemoryLimiter(world.users.get, world.clock)
    else:
        async with a_redis_limiter(world.server, clock=world.clock) as limiter:
            yield limiter


@asynccontextmanager
async def a_redis_limiter(
    server: RedisServer, clock: Clock | None = None, timeout_s: float = TIMEOUT_S
) -> AsyncIterator[RedisLimiter]:
    limiter = RedisLimiter(server.url, timeout_s, clock)
    try:
        yield limiter
    finally:
        await limiter.aclose()


def a_charge(
    user: str, tokens: int, model: str = "", rps: int | None = None, certain_tokens: int | None = None
) -> Charge:
    """One request of so many tokens, all of which are certain unless it is said how many."""
    certain = None if certain_tokens is None else Amounts(1, min(tokens, certain_tokens))
    return Charge(user, Amounts(1, tokens), model, rps, certain)


def a_reservation(user: str, slot: int, tokens: int, model: str = "") -> Reservation:
    """Return the reservation of one request of so many tokens."""
    return Reservation(user, slot, Amounts(1, tokens), model)


async def admit(limiter: Limiter, user: str, tokens: int = 0, model: str = "", rps: int | None = None) -> Admitted:
    verdict = await limiter.reserve(a_charge(user, tokens, model, rps))
    assert isinstance(verdict, Admitted), verdict
    return verdict


async def refuse(limiter: Limiter, user: str, tokens: int = 0, model: str = "", rps: int | None = None) -> Refused:
    verdict = await limiter.reserve(a_charge(user, tokens, model, rps))
    assert isinstance(verdict, Refused), verdict
    return verdict


async def used(limiter: Limiter, name: str) -> tuple[User, int, int]:
    """The user's limits per minute, and the requests and tokens that count now."""
    usage = await limiter.usage(name)
    assert usage is not None
    limits = {kind.field: quota.limit for kind, quota in usage.quotas.items()}
    return User(usage.name, **limits), usage.quotas[RPM].used, usage.quotas[TPM].used


def count_admitted(verdicts: Sequence[Verdict]) -> int:
    return sum(isinstance(verdict, Admitted) for verdict in verdicts)
