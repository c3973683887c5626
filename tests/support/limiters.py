"""Limiters in a world that a test rules: its users and its clock.

Lives here: the same handles on the in-memory and the Redis limiter.  Not here: what they must do.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from ratelimit.kinds import RPM, TPM, USER_BUDGETS, USER_FIELDS, USER_KINDS, Amounts
from ratelimit.limits import Admitted, Charge, Holder, Limiter, Policy, Refused, Reservation, User, Verdict
from ratelimit.memory import MemoryLimiter
from ratelimit.redis.apart import ClusterLimiter
from ratelimit.redis.limiter import RedisLimiter
from ratelimit.redis.names import api_key_key, group_key, user_key
from tests.support.redis import RedisServer
from tests.support.redis_cluster import RedisCluster

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

    server: RedisServer | RedisCluster | None
    clock: Clock = field(default_factory=Clock)
    users: dict[str, User] = field(default_factory=dict)
    levels: dict[Holder, Policy] = field(default_factory=dict)

    def put(self, user: User) -> None:
        self.users[user.name] = user
        if self.server is not None:
            put_user(self.server, user)

    def put_key(self, user: str, key: str, policy: Policy) -> None:
        self.levels[user, key] = policy
        if self.server is not None:
            self.server.own_client.set(api_key_key(user, key), json.dumps(policy_fields(policy)))

    def put_group(self, group: str, policy: Policy) -> None:
        self.levels["", group] = policy
        if self.server is not None:
            self.server.own_client.set(group_key(group), json.dumps(policy_fields(policy)))

    def memory(self) -> MemoryLimiter:
        return MemoryLimiter(self.users.get, self.clock, self.levels.get)

    def remove(self, name: str) -> None:
        self.users.pop(name, None)
        if self.server is not None:
            self.server.own_client.delete(user_key(name))


def put_user(server: RedisServer | RedisCluster, user: User) -> None:
    """Store a user as other tools do."""
    fields: dict[str, Any] = {"name": user.name, **policy_fields(user.policy)}
    fields["models"] = {model: rates._asdict() for model, rates in user.models.items()}
    if user.reserve:
        fields["reserve"] = user.reserve
    if user.group:
        fields["group"] = user.group
    server.own_client.set(user_key(user.name), json.dumps(fields))


def policy_fields(policy: Policy) -> dict[str, Any]:
    """The members of a record, money in the unit of the currency."""
    fields: dict[str, Any] = {kind.field: getattr(policy, kind.field) for kind in USER_FIELDS}
    if policy.budgets:
        by_field = {kind.field: kind for kind in USER_BUDGETS}
        fields["budgets"] = {name: by_field[name].shown(limit) for name, limit in policy.budgets.items()}
    return fields


@asynccontextmanager
async def a_limiter(world: World) -> AsyncIterator[Limiter]:
    if world.server is None:
        yield world.memory()
    elif isinstance(world.server, RedisCluster):
        limiter = ClusterLimiter(world.server.url, TIMEOUT_S, world.clock)
        yield limiter
        await limiter.aclose()
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
    limits = {kind.field: usage.quotas[kind].limit for kind in USER_KINDS}
    return User(usage.name, **limits), usage.quotas[RPM].used, usage.quotas[TPM].used


def count_admitted(verdicts: Sequence[Verdict]) -> int:
    return sum(isinstance(verdict, Admitted) for verdict in verdicts)
