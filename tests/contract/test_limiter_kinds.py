"""Limits beyond requests and tokens of a user: per model, per second, concurrency; dry runs; run on every Limiter."""

import asyncio

from ratelimit.kinds import CONCURRENCY, MODEL_KINDS, MODEL_RPM, MODEL_TPM, RPM, RPS, TPM, Amounts, LimitKind
from ratelimit.limits import UNCOUNTED_SLOT, UNLIMITED, Admitted, Quota, Rates, Refused, UnknownUser, User
from tests.support.limiters import a_charge, a_reservation, admit, count_admitted, refuse, used


def of_model(verdict: Admitted | Refused) -> list[Quota]:
    return [verdict.quotas[kind] for kind in MODEL_KINDS if kind in verdict.quotas]


async def test_a_model_of_the_user_has_limits_of_its_own_beside_the_overall_ones(world, limiter):
    world.put(User("u", rpm=3, tpm=100, models={"m": Rates(rpm=1, tpm=50)}))
    first = await admit(limiter, "u", 10, "m")

    second = await refuse(limiter, "u", 10, "m")

    assert (a_reservation("u", 1_700_000_000, 10, "m"), Quota(3, 1, 60.0)) == (first.reservation, first.quotas[RPM])
    assert [Quota(1, 1, 60.0), Quota(50, 10, 60.0)] == of_model(first) == of_model(second)
    assert (MODEL_RPM, 1, 60.0) == (second.kind, second.limit, second.retry_after_s)
    other = await admit(limiter, "u", 60, "other")
    assert ([], "", 2) == (of_model(other), other.reservation.model, other.quotas[RPM].used)
    assert TPM is (await refuse(limiter, "u", 31, "other")).kind


async def test_tokens_for_a_model_are_settled_there_too(world, limiter):
    world.put(User("u", tpm=1000, models={"m": Rates(tpm=50)}))
    verdict = await admit(limiter, "u", 50, "m")
    assert MODEL_TPM is (await refuse(limiter, "u", 1, "m")).kind

    await limiter.settle(verdict.reservation, Amounts(1, 20))

    assert 50 == (await admit(limiter, "u", 30, "m")).quotas[TPM].used
    await refuse(limiter, "u", 1, "m")


async def test_the_longest_wait_among_all_kinds_is_named(world, limiter):
    world.put(User("u", rpm=2, concurrency=1, models={"m": Rates(rpm=1)}))
    await admit(limiter, "u", 0, "other", rps=1)

    assert CONCURRENCY is (await refuse(limiter, "u", 0, "m")).kind
    assert (CONCURRENCY, 1.0) == named(await refuse(limiter, "u", 0, "other", rps=9))
    world.put(User("u", rpm=1, concurrency=1, models={"m": Rates(rpm=0)}))
    assert (RPM, 60.0) == named(await refuse(limiter, "u", 0, "other", rps=1))
    assert (MODEL_RPM, None) == named(await refuse(limiter, "u", 0, "m", rps=1))


def named(refused: Refused) -> tuple[LimitKind, float | None]:
    return refused.kind, refused.retry_after_s


async def test_a_model_serves_so_many_requests_in_any_second_whoever_asks(world, limiter):
    world.put(User("u"))
    world.put(User("v"))
    world.clock.now_s += 0.03125
    await admit(limiter, "u", 5, "m", rps=2)
    world.clock.now_s += 0.5
    await admit(limiter, "v", 5, "m", rps=2)

    verdict = await refuse(limiter, "u", 5, "m", rps=2)

    assert (RPS, 2, 0.5) == (verdict.kind, verdict.limit, verdict.retry_after_s)
    assert isinstance(await limiter.reserve(a_charge("", 5, "m", rps=2)), Refused)
    assert (User("u"), 1, 5) == await used(limiter, "u")
    await admit(limiter, "u", 5, "other", rps=2)
    world.clock.now_s += 0.484375
    await refuse(limiter, "u", 5, "m", rps=2)
    world.clock.now_s += 0.015625
    await admit(limiter, "u", 5, "m", rps=2)
    await refuse(limiter, "u", 5, "m", rps=2)


async def test_nobody_in_particular_meets_only_the_limit_of_the_model(world, limiter):
    verdict = await admit(limiter, "", 5, "m", rps=1)

    assert (a_reservation("", UNCOUNTED_SLOT, 5), UNLIMITED) == (verdict.reservation, verdict.quotas)
    refused = await refuse(limiter, "", 5, "m", rps=1)
    assert (RPS, UNLIMITED) == (refused.kind, refused.quotas)
    assert isinstance(await limiter.check(a_charge("", 5, "m", rps=1)), Refused)
    assert isinstance(await limiter.check(a_charge("", 5, "m")), Admitted)
    assert None is (await refuse(limiter, "", 5, "n", rps=0)).retry_after_s


async def test_permits_are_taken_by_running_requests_and_given_back_when_they_end(world, limiter):
    world.put(User("u", concurrency=2))
    first, _ = await admit(limiter, "u"), await admit(limiter, "u")
    verdict = await refuse(limiter, "u")

    limiter.release(first.reservation)

    assert (CONCURRENCY, 2, 1.0) == (verdict.kind, verdict.limit, verdict.retry_after_s)
    await admit(limiter, "u")
    await refuse(limiter, "u")
    world.put(User("u", concurrency=0))
    assert None is (await refuse(limiter, "u")).retry_after_s
    world.put(User("u"))
    without_permit = await admit(limiter, "u")
    limiter.release(without_permit.reservation)
    world.put(User("u", concurrency=3))
    await admit(limiter, "u")
    await refuse(limiter, "u")


async def test_a_thousand_at_once_get_exactly_the_permits_there_are(world, limiter):
    world.put(User("u", concurrency=7))

    verdicts = await asyncio.gather(*(limiter.reserve(a_charge("u", 1)) for _ in range(1000)))

    assert 7 == count_admitted(verdicts)


async def test_a_dry_run_answers_as_the_charge_would_and_takes_nothing(world, limiter):
    world.put(User("u", rpm=2, tpm=100, concurrency=2, models={"m": Rates(rpm=1)}))
    await admit(limiter, "u", 60, "other", rps=5)

    checks = [await limiter.check(a_charge("u", tokens, model, rps=2)) for tokens, model in ((40, "m"), (41, "other"))]

    for _ in range(3):
        assert checks == [
            await limiter.check(a_charge("u", tokens, model, rps=2)) for tokens, model in ((40, "m"), (41, "other"))
        ]
    fits, refused = checks
    assert isinstance(fits, Admitted) and isinstance(refused, Refused)
    assert ((1, 60), (0, 0)) == (
        (fits.quotas[RPM].used, fits.quotas[TPM].used),
        tuple(quota.used for quota in of_model(fits)),
    )
    assert (TPM, 60.0) == (refused.kind, refused.retry_after_s)
    assert UnknownUser("nobody") == await limiter.check(a_charge("nobody", 1))
    await admit(limiter, "u", 40, "m", rps=2)


async def test_a_request_that_is_given_back_leaves_no_trace(world, limiter):
    world.put(User("u", rpm=1, tpm=100, models={"m": Rates(rpm=1)}))
    verdict = await admit(limiter, "u", 60, "m")

    await limiter.settle(verdict.reservation, Amounts(0, 0))

    assert (0, 0) == (await used(limiter, "u"))[1:]
    assert 1 == (await admit(limiter, "u", 100, "m")).quotas[RPM].used
    await limiter.settle(verdict.reservation, Amounts(-4, 0))
    assert (0, 40) == (await used(limiter, "u"))[1:]
