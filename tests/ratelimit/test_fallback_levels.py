"""Keys, groups, budgets and hard limits while Redis is away, and afterwards."""

import asyncio
import time
from collections.abc import Mapping

import pytest

from ratelimit.fallback import LocalFallback
from ratelimit.kinds import GROUP_KINDS, KEY_KINDS, TPM, USER, USER_BUDGETS, Amounts
from ratelimit.limits import (
    BUDGETS,
    Admitted,
    Bounds,
    Charge,
    Holder,
    LimiterUnavailableError,
    Policy,
    Refused,
    Reservation,
    User,
)
from ratelimit.redis.names import user_prefix
from ratelimit.window import KEEP_S
from tests.support.fallbacks import a_fallback, come_back, leave
from tests.support.limiters import T0_S, World, a_redis_limiter
from tests.support.polling import until

DAY, COST_DAY, _, _ = USER_BUDGETS


class Deaf:
    """A shared limiter that is there and answers no hand-over, of which it notes the parts."""

    share, up, away_because = (0, 1), True, ""

    def __init__(self) -> None:
        self.time_s = T0_S
        self.asked: list[str] = []

    def now_s(self) -> float:
        return self.time_s

    def absorb(
        self, _holder: Holder, part: str, _handover: str, _slots: Mapping[int, Amounts]
    ) -> asyncio.Future[list[object]]:
        self.asked.append(part)
        reply: asyncio.Future[list[object]] = asyncio.get_running_loop().create_future()
        reply.set_exception(LimiterUnavailableError("deaf"))
        return reply


def charge(tokens: int, cost: int = 0) -> Charge:
    return Charge("u", Amounts(1, tokens, cost), key="k")


def hard(most: int) -> Charge:
    return Charge("u", Amounts(1, most), bounds=Bounds(Amounts(1, 0), Amounts(1, most)), reserve="maximum")


async def admitted(limiter: LocalFallback, asked: Charge) -> Admitted:
    verdict = await limiter.reserve(asked)
    assert isinstance(verdict, Admitted), verdict
    return verdict


async def refused(limiter: LocalFallback, asked: Charge) -> Refused:
    verdict = await limiter.reserve(asked)
    assert isinstance(verdict, Refused), verdict
    return verdict


async def test_every_level_goes_on_from_what_was_left_and_its_spending_is_handed_over(mortal_server):
    world = World(mortal_server)
    world.put(User("u", group="g", budgets={"day": 100, "cost_day": 50}))
    world.put_key("u", "k", Policy(rpm=3))
    world.put_group("g", Policy(tpm=90, budgets={"month": 1000}))
    async with a_fallback(mortal_server) as limiter:
        await admitted(limiter, charge(40, 20))
        await leave(mortal_server, limiter)

        alone = await admitted(limiter, charge(45, 25))
        assert (85, 85) == (alone.quotas[DAY].used, alone.quotas[GROUP_KINDS[1]].used)
        assert GROUP_KINDS[1] is (await refused(limiter, charge(6))).kind
        assert COST_DAY is (await refused(limiter, charge(1, 6))).kind
        await admitted(limiter, charge(1))
        assert KEY_KINDS[0] is (await refused(limiter, charge(1))).kind
        await limiter.settle(alone.reservation, Amounts(1, 40, 20))
        assert 81 == (await limiter.usage("u")).quotas[DAY].used
        assert 81 == (await limiter.group_usage("g")).quotas[GROUP_KINDS[1]].used
        await come_back(mortal_server, limiter)
        await until(lambda: not limiter._owes())

        usage = await limiter.usage("u")
        assert (81, 40) == (usage.quotas[DAY].used, usage.quotas[COST_DAY].used)
        assert 3 == (await limiter.usage("u", "k")).quotas[KEY_KINDS[0]].used
        assert 81 == (await limiter.group_usage("g")).quotas[GROUP_KINDS[1]].used


async def test_what_was_spent_is_handed_over_when_its_window_has_long_forgotten_it():
    primary = Deaf()
    fallback = LocalFallback(primary, "local")  # type: ignore[arg-type]  # as far as a hand-over needs it
    spent = Reservation("u", int(T0_S), Amounts(1, 5), is_shared=False, budgets=(USER,))
    fallback._enter(spent, spent.amounts)

    await fallback._hand_over()
    first, primary.asked = primary.asked, []
    primary.time_s += KEEP_S + 1
    await fallback._hand_over()

    assert (["", BUDGETS], [BUDGETS]) == (first, primary.asked)


async def test_spending_that_is_handed_over_is_known_to_be_until_its_periods_are_forgotten(server):
    slot = int(time.time())
    World(server).put(User("u", budgets={"day": 100}))
    async with a_redis_limiter(server) as limiter:
        for _ in range(2):
            await limiter.absorb(("u",), BUDGETS, "h1", {slot: Amounts(1, 7)})

        usage = await limiter.usage("u")
        assert usage is not None
        assert 7 == usage.quotas[DAY].used
    assert KEEP_S < server.own_client.ttl(f"{user_prefix('u')}:absorbed:h1")


@pytest.mark.parametrize("reserve", ["maximum", "expected"])
async def test_a_request_that_ends_alone_before_its_user_sends_another_forgives_nothing(mortal_server, reserve):
    World(mortal_server).put(User("u", tpm=100, budgets={"day": 100}, reserve=reserve))
    async with a_fallback(mortal_server) as limiter:
        await admitted(limiter, hard(60))
        running = (await admitted(limiter, hard(30))).reservation
        await leave(mortal_server, limiter)

        if running.is_hard:
            await limiter.renew("a", running)
        await limiter.settle(running, Amounts(1, 30), {"a": Amounts(0, 0)})

        alone = (await admitted(limiter, hard(10))).quotas
        assert (100, 100) == (alone[TPM].used, alone[DAY].used)
        await refused(limiter, hard(1))


async def test_a_hard_limit_stays_hard_alone_and_its_reservations_are_settled_there(mortal_server):
    world = World(mortal_server)
    world.put(User("u", tpm=100))
    async with a_fallback(mortal_server) as limiter:
        shared = (await admitted(limiter, hard(30))).reservation
        await leave(mortal_server, limiter)

        alone = (await admitted(limiter, hard(500))).reservation
        assert (True, 70) == (alone.is_hard, alone.amounts.tokens)
        for request, held in (("a", shared), ("b", alone)):
            await limiter.renew(request, held)
        assert TPM is (await refused(limiter, hard(1))).kind
        await limiter.settle(shared, Amounts(1, 10), {"a": Amounts(0, -20)})
        await limiter.settle(alone, Amounts(1, 50), {"b": Amounts(0, -20)})
        assert 60 == (await limiter.usage("u")).quotas[TPM].used
        await come_back(mortal_server, limiter)
        await until(lambda: not limiter._owes())

        assert 60 == (await limiter.usage("u")).quotas[TPM].used
