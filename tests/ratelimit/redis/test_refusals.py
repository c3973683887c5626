import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ratelimit.limits import CONCURRENCY, MODEL_RPM, MODEL_TPM, RPM, RPS, TPM, Amounts, LimitKind, Quota, Refused, User
from ratelimit.redis import refusals as refusals_module
from ratelimit.redis.limiter import RedisLimiter
from ratelimit.redis.refusals import Refusals
from tests.support.limiters import Clock, a_charge, a_redis_limiter, admit, put_user, refuse
from tests.support.polling import until
from tests.support.redis import RedisServer


def a_refusal(kind: LimitKind = RPM, retry_after_s: float | None = 30.0) -> Refused:
    own = {RPM: Quota(5, 5, 60.0), TPM: Quota(100, 70, 0.5)}
    return Refused(kind, 5, retry_after_s, {**own, MODEL_RPM: Quota(9, 1, 60.0), MODEL_TPM: Quota(9, 1, 2.0)})


def test_a_refusal_is_repeated_with_its_times_counted_down_until_something_leaves_the_window():
    clock = Clock()
    refusals = Refusals(clock)
    refusals.keep(a_charge("u", 7), a_refusal(), leaves_s=20.0)
    clock.now_s += 1.5

    found = refusals.find(a_charge("u", 7))

    assert found is not None
    assert (28.5, 58.5, 0.0, 58.5) == (
        found.retry_after_s, found.quotas[RPM].reset_s, found.quotas[TPM].reset_s, found.quotas[MODEL_RPM].reset_s,
    )  # fmt: skip
    clock.now_s += 18.5
    assert None is refusals.find(a_charge("u", 7))


def test_only_what_redis_would_say_is_repeated():
    refusals = Refusals(Clock())
    refusals.keep(a_charge("requests", 7, "m"), a_refusal(), 20.0)
    refusals.keep(a_charge("tokens", 7, "m"), a_refusal(TPM), 20.0)
    refusals.keep(a_charge("never", 7), a_refusal(retry_after_s=None), 20.0)
    for kind in (RPS, CONCURRENCY):
        refusals.keep(a_charge(kind.name, 7), a_refusal(kind), 20.0)

    def is_known(user: str, tokens: int = 7, model: str = "m", rps: int | None = None) -> bool:
        return refusals.find(a_charge(user, tokens, model, rps)) is not None

    assert [True, True, False] == [is_known("requests", tokens) for tokens in (7, 6, 8)]
    assert [True, False, False] == [is_known("tokens", tokens) for tokens in (7, 6, 8)]
    assert [False, False] == [is_known("requests", model="n"), is_known("requests", rps=1)]
    assert [True, False, False] == [is_known(name, model="") for name in ("never", "rps", "concurrency")]


def test_a_refusal_for_tokens_is_believed_a_second():
    clock = Clock()
    refusals = Refusals(clock)
    refusals.keep(a_charge("u", 7), a_refusal(MODEL_TPM), 20.0)
    clock.now_s += 1.0

    assert None is refusals.find(a_charge("u", 7))


def test_a_change_ends_the_refusals_of_its_user_or_of_all(monkeypatch):
    monkeypatch.setattr(refusals_module, "MAX_USERS", 2)
    refusals = Refusals(Clock())
    for change, left in (("u", {"v"}), (None, set())):
        for name in ("u", "v"):
            refusals.keep(a_charge(name, 1), a_refusal(), 20.0)
        refusals.drop(change)
        assert left == {name for name in ("u", "v") if refusals.find(a_charge(name, 1))}
    for name in ("a", "b", "c"):
        refusals.keep(a_charge(name, 1), a_refusal(), 20.0)
    assert [False, False, True] == [refusals.find(a_charge(name, 1)) is not None for name in ("a", "b", "c")]


@asynccontextmanager
async def a_running_limiter(server: RedisServer) -> AsyncIterator[RedisLimiter]:
    async with a_redis_limiter(server) as limiter:
        running = asyncio.create_task(limiter.run())
        await until(lambda: limiter._tracking.up)
        yield limiter
        running.cancel()


def calls(server: RedisServer) -> int:
    with server.client() as client:
        return int(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


async def test_who_is_over_a_limit_is_refused_without_asking_redis(mortal_server):
    put_user(mortal_server, User("u", rpm=2))
    async with a_running_limiter(mortal_server) as limiter:
        await admit(limiter, "u")
        await admit(limiter, "u")
        first = await refuse(limiter, "u")
        before = calls(mortal_server)

        later = [await refuse(limiter, "u") for _ in range(200)]

        assert calls(mortal_server) - before < 10  # renewals
        waits = [verdict.retry_after_s for verdict in (first, *later)]
        assert waits == sorted(waits, reverse=True) and waits[-1] < waits[0]


async def test_an_update_by_anybody_binds_the_very_next_request(server):
    async with a_running_limiter(server) as limiter:
        for rpm in range(1, 200):
            put_user(server, User("u", rpm=rpm))
            await admit(limiter, "u")
            await refuse(limiter, "u")
            await refuse(limiter, "u")
        server.flush()
        put_user(server, User("u", rpm=1))
        await admit(limiter, "u")


async def test_a_refund_ends_the_refusal(server):
    put_user(server, User("u", rpm=9, tpm=10))
    async with a_running_limiter(server) as limiter:
        verdict = await admit(limiter, "u", 10)
        await refuse(limiter, "u", 4)

        await limiter.settle(verdict.reservation, Amounts(1, 6))

        await admit(limiter, "u", 4)


async def test_without_news_nothing_is_repeated(mortal_server):
    put_user(mortal_server, User("u", rpm=1))
    async with a_running_limiter(mortal_server) as limiter:
        await admit(limiter, "u")
        await refuse(limiter, "u")
        with mortal_server.client() as client:
            client.client_kill_filter(_type="pubsub")
            client.client_kill_filter(_type="normal", skipme=True)
        await until(lambda: not limiter._tracking.up)
        put_user(mortal_server, User("u", rpm=2))

        await admit(limiter, "u")
        await until(lambda: limiter._tracking.up)


@pytest.mark.parametrize("name", ["ü ☂", "a{b}c", "x" * 256])
async def test_news_of_any_name_is_understood(server, name):
    put_user(server, User(name, rpm=1))
    async with a_running_limiter(server) as limiter:
        await admit(limiter, name)
        await refuse(limiter, name)

        put_user(server, User(name, rpm=2))

        await admit(limiter, name)
