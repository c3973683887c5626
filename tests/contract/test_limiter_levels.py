"""Keys and groups with limits of their own, budgets by day and month, and hard limits; run on every Limiter."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from ratelimit.kinds import (
    GROUP,
    GROUP_BUDGETS,
    GROUP_CONCURRENCY,
    GROUP_KINDS,
    KEY,
    KEY_BUDGETS,
    KEY_CONCURRENCY,
    KEY_KINDS,
    MODEL_TPM,
    RPM,
    TPM,
    USER,
    USER_BUDGETS,
    Amounts,
)
from ratelimit.limits import Admitted, Bounds, Charge, Limiter, Policy, Quota, Rates, Refused, User, Verdict
from tests.support.limiters import World
from tests.support.redis_cluster import RedisCluster, redis_cluster

DAY, COST_DAY, MONTH, COST_MONTH = USER_BUDGETS
DAY_S = 86_400.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with redis_cluster() as running:
        yield running


@pytest.fixture(params=["memory", "server", "cluster"])
def world(request: pytest.FixtureRequest) -> World:
    """Groups are on other nodes than their users on a cluster, so it is one implementation more."""
    server = None if request.param == "memory" else request.getfixturevalue(request.param)
    if server is not None:
        server.flush()
    return World(server)


def utc(*date: int) -> float:
    return datetime(*date, tzinfo=UTC).timestamp()


def guess(tokens: int, key: str = "", cost: int = 0, certain: int | None = None) -> Charge:
    known = None if certain is None else Amounts(1, certain)
    return Charge("u", Amounts(1, tokens, cost), certain=known, key=key)


def bound(prompt: int, most: int, model: str = "", key: str = "", token_cost: float = 0.0) -> Charge:
    bounds = Bounds(Amounts(1, prompt), Amounts(1, most), token_cost)
    return Charge("u", Amounts(1, min(most, prompt + 10)), model, key=key, bounds=bounds, reserve="maximum")


async def admitted(limiter: Limiter, charge: Charge) -> Admitted:
    verdict: Verdict = await limiter.reserve(charge)
    assert isinstance(verdict, Admitted), verdict
    return verdict


async def over(limiter: Limiter, charge: Charge) -> Refused:
    checked, verdict = await limiter.check(charge), await limiter.reserve(charge)
    assert isinstance(verdict, Refused), verdict
    assert checked == verdict
    return verdict


async def test_a_key_and_a_group_have_limits_beside_their_users(world, limiter):
    world.put(User("u", rpm=9, group="g"))
    world.put(User("v", rpm=9, group="g"))
    world.put_key("u", "k", Policy(rpm=1))
    world.put_group("g", Policy(tpm=100))

    first = await admitted(limiter, guess(30, "k"))

    assert ("k", "g") == (first.reservation.key, first.reservation.group)
    assert (Quota(1, 1, 60.0), Quota(100, 30, 60.0)) == (first.quotas[KEY_KINDS[0]], first.quotas[GROUP_KINDS[1]])
    assert KEY_KINDS[0] is (await over(limiter, guess(1, "k"))).kind
    await admitted(limiter, guess(50))
    refused = await limiter.reserve(Charge("v", Amounts(1, 21)))
    assert isinstance(refused, Refused)
    assert (GROUP_KINDS[1], 100, 60.0) == (refused.kind, refused.limit, refused.retry_after_s)


async def test_a_refusal_by_any_level_takes_nothing_from_the_others(world, limiter):
    world.put(User("u", rpm=9, group="g", budgets={"day": 500}))
    world.put_key("u", "k", Policy(rpm=9, concurrency=9, budgets={"month": 500}))
    world.put_group("g", Policy(tpm=10, concurrency=9))

    for _ in range(3):
        assert GROUP_KINDS[1] is (await over(limiter, guess(11, "k"))).kind

    verdict = await admitted(limiter, guess(10, "k"))
    used = {kind: verdict.quotas[kind].used for kind in (*KEY_KINDS, *GROUP_KINDS, DAY, KEY_BUDGETS[2])}
    assert {1, 10} == set(used.values())
    assert (DAY.of(Amounts(1, 10)), 10) == (used[DAY], used[KEY_BUDGETS[2]])


async def test_what_was_not_used_is_given_back_to_every_level(world, limiter):
    world.put(User("u", tpm=100, group="g", budgets={"day": 100}))
    world.put_key("u", "k", Policy(tpm=100, budgets={"cost_month": 1000}))
    world.put_group("g", Policy(tpm=100, budgets={"month": 100}))
    reservation = (await admitted(limiter, guess(100, "k", cost=1000))).reservation
    assert (USER, KEY, GROUP) == reservation.budgets

    await limiter.settle(reservation, Amounts(1, 40, 400), {"id": Amounts(0, -60, -600)})

    quotas = (await admitted(limiter, guess(60, "k", cost=600))).quotas
    assert {100} == {quota.used for kind, quota in quotas.items() if kind.unit == "tokens"}
    assert {1000} == {quota.used for kind, quota in quotas.items() if kind.unit == "cost"}


async def test_keys_and_groups_have_permits_of_their_own(world, limiter):
    world.put(User("u", group="g"))
    world.put_key("u", "k", Policy(concurrency=1))
    world.put_group("g", Policy(concurrency=2))
    first = (await admitted(limiter, guess(1, "k"))).reservation
    assert (KEY, GROUP) == first.permits
    assert KEY_CONCURRENCY is (await over(limiter, guess(1, "k"))).kind
    await admitted(limiter, guess(1))
    assert GROUP_CONCURRENCY is (await over(limiter, guess(1))).kind

    limiter.release(first)

    await limiter.usage("u")  # behind it
    await admitted(limiter, guess(1, "k"))


async def test_keys_and_groups_without_a_record_limit_nothing(world, limiter):
    world.put(User("u", group="gone"))

    reservation = (await admitted(limiter, guess(5, "none"))).reservation

    assert ("", "", ()) == (reservation.key, reservation.group, reservation.budgets)
    assert None is await limiter.group_usage("gone")
    assert None is await limiter.usage("u", "none")


@pytest.mark.parametrize(
    ("now", "day_s", "month_s"),
    [
        ((2024, 2, 29, 23, 59, 50), 10, 10),
        ((2023, 2, 28, 12), DAY_S / 2, DAY_S / 2),
        ((2100, 2, 28), DAY_S, DAY_S),
        ((2026, 12, 31), DAY_S, DAY_S),
        ((2027, 1, 1), DAY_S, 31 * DAY_S),
        ((2026, 4, 2), DAY_S, 29 * DAY_S),
    ],
)
async def test_budgets_last_until_the_end_of_the_day_and_of_the_month(world, limiter, now, day_s, month_s):
    world.clock.now_s = utc(*now)
    world.put(User("u", budgets={"day": 10, "month": 15}))
    await admitted(limiter, guess(10))

    refused = await over(limiter, guess(1))

    assert (DAY, 10, day_s) == (refused.kind, refused.limit, refused.retry_after_s)
    assert (Quota(10, 10, day_s), Quota(15, 10, month_s)) == (refused.quotas[DAY], refused.quotas[MONTH])
    world.put(User("u", budgets={"month": 15}))
    monthly = await over(limiter, guess(6))
    assert (MONTH, 15, month_s) == (monthly.kind, monthly.limit, monthly.retry_after_s)
    world.put(User("u", budgets={"day": 10, "month": 15}))
    world.clock.now_s += day_s
    await admitted(limiter, guess(5))
    world.clock.now_s += month_s - day_s
    await admitted(limiter, guess(10 if month_s > day_s else 5))


async def test_a_correction_goes_to_the_day_of_the_request(world, limiter):
    world.clock.now_s = utc(2026, 3, 14, 23, 59, 59)
    world.put(User("u", budgets={"day": 10, "month": 100}))
    yesterday = (await admitted(limiter, guess(10))).reservation
    world.clock.now_s += 1
    await admitted(limiter, guess(10))

    await limiter.settle(yesterday, Amounts(1, 2))

    refused = await over(limiter, guess(1))
    assert (DAY, 10, 12) == (refused.kind, refused.quotas[DAY].used, refused.quotas[MONTH].used)


async def test_money_is_a_budget(world, limiter):
    world.put(User("u", budgets={"cost_day": 1_500_000_000}))
    await admitted(limiter, guess(1, cost=1_000_000_000))

    refused = await over(limiter, guess(1, cost=500_000_001))

    assert (COST_DAY, 1_500_000_000) == (refused.kind, refused.limit)
    assert Quota(1_500_000_000, 1_000_000_000, refused.retry_after_s) == refused.quotas[COST_DAY]
    await admitted(limiter, guess(1, cost=500_000_000))


async def test_a_guess_shrinks_to_what_a_budget_allows_and_a_certain_charge_is_refused_for_ever(world, limiter):
    world.put(User("u", budgets={"month": 10}))

    assert (MONTH, None) == ((verdict := await over(limiter, guess(11))).kind, verdict.retry_after_s)
    assert 10 == (await admitted(limiter, guess(50, certain=3))).reservation.amounts.tokens


async def test_a_budget_of_nothing_allows_nothing(world, limiter):
    world.put(User("u", budgets={"day": 0}))

    assert (DAY, None) == ((verdict := await over(limiter, guess(0))).kind, verdict.retry_after_s)


async def test_usage_tells_budgets_of_every_level(world, limiter):
    world.put(User("u", rpm=9, group="g", budgets={"day": 100}))
    world.put_key("u", "k", Policy(rpm=5))
    world.put_group("g", Policy(budgets={"cost_month": 70}))
    await admitted(limiter, guess(10, "k", cost=7))

    of_user, of_key, of_group = [
        await limiter.usage("u"),
        await limiter.usage("u", "k"),
        await limiter.group_usage("g"),
    ]

    assert (100, 10) == of_user.quotas[DAY][:2]
    assert Quota(5, 1, 60.0) == of_key.quotas[KEY_KINDS[0]]
    assert not set(KEY_BUDGETS) & set(of_key.quotas)
    assert (70, 7) == of_group.quotas[GROUP_BUDGETS[3]][:2]


async def test_a_hard_limit_grants_what_is_left_and_refuses_when_not_even_a_token_is(world, limiter):
    world.put(User("u", tpm=100, models={"m": Rates(tpm=70)}))

    first = (await admitted(limiter, bound(10, 5000, "m"))).reservation
    assert (True, Amounts(1, 70)) == (first.is_hard, first.amounts)
    assert MODEL_TPM is (await over(limiter, bound(0, 5000, "m"))).kind
    assert 20 == (await admitted(limiter, bound(10, 20))).reservation.amounts.tokens
    refused = await over(limiter, bound(10, 5000))
    assert (TPM, 60.0, 90) == (refused.kind, refused.retry_after_s, refused.quotas[TPM].used)
    assert 10 == (await admitted(limiter, bound(9, 5000))).reservation.amounts.tokens
    assert None is (await over(limiter, bound(100, 5000))).retry_after_s


async def test_a_hard_request_without_an_answer_needs_no_more_than_its_prompt(world, limiter):
    world.put(User("u", tpm=10))

    assert 10 == (await admitted(limiter, bound(10, 10))).reservation.amounts.tokens


async def test_a_hard_limit_of_money_grants_what_it_buys(world, limiter):
    world.put(User("u", budgets={"cost_day": 100}))

    assert Amounts(1, 40, 98) == (await admitted(limiter, bound(0, 40, token_cost=2.45))).reservation.amounts
    assert COST_DAY is (await over(limiter, bound(0, 40, token_cost=2.45))).kind
    assert Amounts(1, 2, 2) == (await admitted(limiter, bound(0, 40, token_cost=0.8))).reservation.amounts


async def test_the_record_says_whether_limits_are_hard(world, limiter):
    world.put(User("u", tpm=100, reserve="maximum"))
    soft = bound(10, 5000)._replace(reserve="expected")
    assert 100 == (await admitted(limiter, soft)).reservation.amounts.tokens
    world.clock.now_s += 60

    world.put(User("u", tpm=100, reserve="expected"))
    for _ in range(2):
        assert 20 == (await admitted(limiter, bound(10, 5000))).reservation.amounts.tokens
    world.put(User("u", tpm=100))
    assert 20 == (await admitted(limiter, soft)).reservation.amounts.tokens
    assert 40 == (await admitted(limiter, bound(10, 5000))).reservation.amounts.tokens
    world.put(User("u", tpm=200, reserve="maximum"))
    verdict = await admitted(limiter, Charge("u", Amounts(1, 7), reserve="maximum"))
    assert (False, 7) == (verdict.reservation.is_hard, verdict.reservation.amounts.tokens)


async def test_a_hard_reservation_counts_while_it_runs_and_its_use_from_its_end(world, limiter):
    world.put(User("u", tpm=100, group="g", budgets={"day": 1000}))
    world.put_group("g", Policy(tpm=100))
    held = (await admitted(limiter, bound(10, 100))).reservation
    for _ in range(3):
        world.clock.now_s += 50
        await limiter.renew("id", held)
        assert Quota(100, 100, 60.0) == (await over(limiter, bound(0, 1))).quotas[TPM]
    world.clock.now_s += 10

    for _ in range(2 if world.server else 1):  # brought twice, it counts once
        await limiter.settle(held, Amounts(1, 30), {"id": Amounts(0, -70)})

    verdict = await admitted(limiter, bound(0, 5000))
    assert 70 == verdict.reservation.amounts.tokens
    assert 100 == verdict.quotas[DAY].used
    world.clock.now_s += 59.9
    assert 0.1 == pytest.approx((await over(limiter, bound(0, 1))).retry_after_s, abs=0.05)
    usage = await limiter.group_usage("g")
    assert 100 == usage.quotas[GROUP_KINDS[1]].used


async def test_a_hard_reservation_that_nobody_settles_leaves_after_its_last_renewal(world, limiter):
    world.put(User("u", tpm=100))
    held = (await admitted(limiter, bound(0, 100))).reservation
    world.clock.now_s += 45
    await limiter.renew("id", held)
    world.clock.now_s += 59
    await over(limiter, bound(0, 1))

    world.clock.now_s += 1

    assert 100 == (await admitted(limiter, bound(0, 100))).reservation.amounts.tokens


async def test_a_hard_reservation_that_was_renewed_too_late_counts_again(world, limiter):
    world.put(User("u", tpm=100))
    held = (await admitted(limiter, bound(0, 60))).reservation
    world.clock.now_s += 500
    await limiter.renew("id", held)

    assert 40 == (await admitted(limiter, bound(0, 100))).reservation.amounts.tokens


async def test_a_hard_request_stays_in_the_second_of_its_admission(world, limiter):
    world.put(User("u", rpm=1, tpm=100))
    held = (await admitted(limiter, bound(0, 60))).reservation
    world.clock.now_s += 30
    await limiter.renew("id", held)
    world.clock.now_s += 30

    await admitted(limiter, bound(0, 5))


async def test_a_hard_request_that_failed_is_given_back_whole(world, limiter):
    world.put(User("u", rpm=1, tpm=100, budgets={"month": 100}))
    held = (await admitted(limiter, bound(0, 60))).reservation

    await limiter.settle(held, Amounts(0, 0), {"id": Amounts(-1, -60)})

    verdict = await admitted(limiter, bound(0, 500))
    assert (1, 100, 100) == (verdict.quotas[RPM].used, verdict.quotas[TPM].used, verdict.quotas[MONTH].used)
