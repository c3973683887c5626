"""The contract of every Limiter, run on each."""

import asyncio
import gc
import math

import pytest

from ratelimit.kinds import MODEL_TPM, RPM, TPM, Amounts
from ratelimit.limits import Admitted, Quota, Rates, Refused, UnknownUser, User
from tests.support.limiters import a_charge, a_reservation, admit, count_admitted, refuse, used


async def test_a_question_leaves_when_it_is_asked_and_not_when_it_is_awaited(world, limiter):
    world.put(User("u", rpm=1))
    question = limiter.reserve(a_charge("u", 5))

    assert (User("u", 1), 1, 5) == await used(limiter, "u")
    assert isinstance(await limiter.check(a_charge("u", 5)), Refused)
    assert isinstance(await question, Admitted)


async def test_a_question_that_is_never_awaited_leaves_only_its_reservation_behind(world, limiter):
    world.put(User("u", rpm=9, concurrency=9))
    await admit(limiter, "u")
    limiter.reserve(a_charge("u", 5))
    limiter.check(a_charge("u", 7))
    gc.collect()

    assert 5 == (await used(limiter, "u"))[2]


async def test_a_charge_is_admitted_with_quotas_that_include_it(world, limiter):
    world.put(User("u", rpm=10, tpm=100))
    await admit(limiter, "u", 30)
    world.clock.now_s += 2.25

    verdict = await admit(limiter, "u", 5)

    assert (a_reservation("u", 1_700_000_002, 5), None) == (verdict.reservation, verdict.concurrency)
    assert (Quota(10, 2, 60.0), Quota(100, 35, 60.0)) == (verdict.quotas[RPM], verdict.quotas[TPM])


async def test_an_unknown_user_is_named(limiter):
    assert UnknownUser("nobody") == await limiter.reserve(a_charge("nobody", 1))
    assert None is await limiter.usage("nobody")


async def test_a_refused_charge_takes_nothing_of_either_kind(world, limiter):
    world.put(User("u", rpm=10, tpm=100))
    await admit(limiter, "u", 60)

    verdicts = [await refuse(limiter, "u", 41) for _ in range(20)]

    for verdict in verdicts:
        assert (TPM, 100, 60.0) == (verdict.kind, verdict.limit, verdict.retry_after_s)
        assert (Quota(10, 1, 60.0), Quota(100, 60, 60.0)) == (verdict.quotas[RPM], verdict.quotas[TPM])
    assert (User("u", 10, 100), 1, 60) == await used(limiter, "u")


async def test_retry_after_is_the_exact_time(world, limiter):
    world.put(User("u", rpm=100, tpm=100))
    for tokens in (40, 30, 30):
        await admit(limiter, "u", tokens)
        world.clock.now_s += 1.015625
    retry_after_s = (await refuse(limiter, "u", 41)).retry_after_s
    assert retry_after_s is not None
    world.clock.now_s += retry_after_s - 0.015625

    await refuse(limiter, "u", 41)
    world.clock.now_s += 0.015625
    await admit(limiter, "u", 41)


@pytest.mark.parametrize("fraction_s", [0.0, 0.015625, 0.5, 0.984375])
async def test_retry_after_a_burst_is_the_window_and_no_more_and_is_never_early(world, limiter, fraction_s):
    world.put(User("u", rpm=3, tpm=100, models={"m": Rates(rpm=3)}))
    world.clock.now_s += fraction_s
    for _ in range(3):
        await admit(limiter, "u", 10, "m")

    verdict = await refuse(limiter, "u", 10, "m")

    resets = {quota.reset_s for quota in verdict.quotas.values()}
    assert (60.0, {60.0}) == (verdict.retry_after_s, resets)
    world.clock.now_s += 59.984375
    await refuse(limiter, "u", 10, "m")
    world.clock.now_s += 0.015625
    for _ in range(3):
        await admit(limiter, "u", 10, "m")
    await refuse(limiter, "u", 10, "m")


async def test_a_second_counts_until_its_last_charge_has_left(world, limiter):
    world.put(User("u", rpm=2))
    for _ in range(2):
        world.clock.now_s += 0.25
        await admit(limiter, "u")
    world.clock.now_s += 0.375

    assert 59.625 == (await refuse(limiter, "u")).retry_after_s
    world.clock.now_s += 59.609375  # the first has left, but not its second
    assert 0.015625 == (await refuse(limiter, "u")).retry_after_s
    world.clock.now_s += 0.015625
    assert 1 == (await admit(limiter, "u")).quotas[RPM].used
    world.clock.now_s += 0.25
    assert 2 == (await admit(limiter, "u")).quotas[RPM].used
    assert 60.0 == (await refuse(limiter, "u")).retry_after_s


async def test_retry_after_a_lowered_limit_waits_for_all_that_is_too_much(world, limiter):
    world.put(User("u", rpm=3))
    for _ in range(3):
        await admit(limiter, "u")
        world.clock.now_s += 1

    world.put(User("u", rpm=1))

    assert 59.0 == (await refuse(limiter, "u")).retry_after_s


async def test_what_never_fits_is_refused_without_a_time(world, limiter):
    for user in (
        User("no-requests", rpm=0),
        User("no-tokens", tpm=0),
        User("too-few", rpm=0, tpm=5),
        User("few", tpm=5),
    ):
        world.put(user)

    verdicts = [await refuse(limiter, name, 6) for name in ("no-requests", "no-tokens", "too-few", "few")]

    assert [None] * 4 == [verdict.retry_after_s for verdict in verdicts]
    assert [RPM, TPM, RPM, TPM] == [verdict.kind for verdict in verdicts]
    assert None is (await refuse(limiter, "no-tokens", 0)).retry_after_s


async def test_a_guess_shrinks_to_what_an_empty_window_allows(world, limiter):
    world.put(User("u", tpm=100, models={"m": Rates(None, 60)}))
    guess = a_charge("u", 500, "m", certain_tokens=10)

    admitted = await limiter.reserve(guess)
    over = await limiter.reserve(guess)

    assert isinstance(admitted, Admitted)
    assert (60, 60) == (admitted.reservation.amounts.tokens, admitted.quotas[MODEL_TPM].used)
    assert isinstance(over, Refused)
    assert 60.0 == over.retry_after_s
    await limiter.settle(admitted.reservation, Amounts(1, 7))
    assert 7 == (await used(limiter, "u"))[2]


@pytest.mark.parametrize(("certain", "kind"), [(60, None), (61, MODEL_TPM), (101, TPM)])
async def test_what_is_certain_does_not_shrink(world, limiter, certain, kind):
    world.put(User("u", tpm=100, models={"m": Rates(None, 60)}))
    verdict = await limiter.reserve(a_charge("u", 500, "m", certain_tokens=certain))
    refused = (verdict.kind, verdict.retry_after_s) if isinstance(verdict, Refused) else (None, None)
    assert (kind, None) == refused


async def test_a_limit_of_nothing_refuses_a_guess_for_ever(world, limiter):
    world.put(User("u", tpm=0))
    verdict = await limiter.reserve(a_charge("u", 500, certain_tokens=0))
    assert isinstance(verdict, Refused)
    assert verdict.retry_after_s is None


async def test_the_longer_wait_is_named_and_a_tie_is_the_requests(world, limiter):
    world.put(User("u", rpm=2, tpm=100))
    await admit(limiter, "u", 10)
    world.clock.now_s += 5
    await admit(limiter, "u", 90)

    assert TPM is (await refuse(limiter, "u", 50)).kind
    assert RPM is (await refuse(limiter, "u", 5)).kind
    assert TPM is (await refuse(limiter, "u", 101)).kind


async def test_no_limits_are_counted_all_the_same(world, limiter):
    world.put(User("u"))
    for _ in range(3):
        await admit(limiter, "u", 1000)

    assert (User("u"), 3, 3000) == await used(limiter, "u")


async def test_limits_and_charges_up_to_two_to_the_53_are_exact(world, limiter):
    world.put(User("u", rpm=2**53, tpm=2**53))
    await admit(limiter, "u", 2**53 - 1)

    await refuse(limiter, "u", 2)
    await admit(limiter, "u", 1)
    await refuse(limiter, "u", 1)
    assert (User("u", 2**53, 2**53), 2, 2**53) == await used(limiter, "u")


async def test_an_update_binds_the_very_next_request(world, limiter):
    world.put(User("u", rpm=1))
    await admit(limiter, "u")
    await refuse(limiter, "u")

    world.put(User("u", rpm=2))
    await admit(limiter, "u")
    world.put(User("u", rpm=1))
    verdict = await refuse(limiter, "u")

    assert (1, 2, 0) == (verdict.limit, verdict.quotas[RPM].used, verdict.quotas[RPM].remaining)


async def test_a_user_deleted_and_created_again_gets_no_fresh_window(world, limiter):
    world.put(User("u", rpm=1))
    await admit(limiter, "u")
    world.remove("u")
    assert UnknownUser("u") == await limiter.reserve(a_charge("u", 1))

    world.put(User("u", rpm=1))

    await refuse(limiter, "u")


@pytest.mark.parametrize(("real", "spent"), [(15, 15), (60, 60), (500, 500), (0, 0)])
async def test_settling_replaces_the_estimate_and_keeps_the_request(world, limiter, real, spent):
    world.put(User("u", rpm=9, tpm=100))
    verdict = await admit(limiter, "u", 60)
    world.clock.now_s += 30

    await limiter.settle(verdict.reservation, Amounts(1, real))

    assert (User("u", 9, 100), 1, spent) == await used(limiter, "u")


async def test_a_settlement_made_twice_does_not_reach_below_zero(world, limiter):
    world.put(User("u", tpm=100))
    verdict = await admit(limiter, "u", 60)

    for _ in range(2):
        await limiter.settle(verdict.reservation, Amounts(1, 0))

    assert (User("u", None, 100), 1, 0) == await used(limiter, "u")


async def test_settling_lands_in_the_second_of_the_reservation(world, limiter):
    world.put(User("u", tpm=100))
    early = await admit(limiter, "u", 50)
    world.clock.now_s += 40
    await admit(limiter, "u", 50)
    await limiter.settle(early.reservation, Amounts(1, 90))

    world.clock.now_s += 21

    assert (User("u", None, 100), 1, 50) == await used(limiter, "u")


async def test_a_settlement_after_the_window_changes_nothing(world, limiter):
    world.put(User("u", tpm=100))
    late = await admit(limiter, "u", 50)
    world.clock.now_s += 61
    await limiter.settle(late.reservation, Amounts(1, 0))
    await admit(limiter, "u", 70)

    await limiter.settle(late.reservation, Amounts(1, 99))

    assert (User("u", None, 100), 1, 70) == await used(limiter, "u")


async def test_tokens_settled_to_zero_do_not_delay_the_reset_of_tokens(world, limiter):
    world.put(User("u", rpm=9, tpm=100))
    await admit(limiter, "u", 50)
    world.clock.now_s += 10
    refunded = await admit(limiter, "u", 50)
    await limiter.settle(refunded.reservation, Amounts(1, 0))

    verdict = await admit(limiter, "u", 0)

    assert (60.0, 50.0) == (verdict.quotas[RPM].reset_s, verdict.quotas[TPM].reset_s)


async def test_a_burst_on_both_sides_of_a_minute_admits_no_more_than_the_limit(world, limiter):
    world.put(User("u", rpm=10, tpm=100))
    world.clock.now_s = math.ceil(world.clock.now_s / 60) * 60 - 0.015625

    before = [await limiter.reserve(a_charge("u", 10)) for _ in range(10)]
    world.clock.now_s += 0.03125
    after = [await limiter.reserve(a_charge("u", 10)) for _ in range(10)]

    assert (10, 0) == (count_admitted(before), count_admitted(after))


async def test_a_thousand_at_once_admit_exactly_the_limit(world, limiter):
    world.put(User("requests", rpm=100))
    world.put(User("tokens", tpm=10_000))

    by_requests = await asyncio.gather(*(limiter.reserve(a_charge("requests", 1)) for _ in range(1000)))
    by_tokens = await asyncio.gather(*(limiter.reserve(a_charge("tokens", 300)) for _ in range(1000)))

    assert (100, 33) == (count_admitted(by_requests), count_admitted(by_tokens))


async def test_a_clock_that_steps_back_forgives_nothing(world, limiter):
    world.put(User("u", rpm=1))
    await admit(limiter, "u")
    world.clock.now_s += 61
    await admit(limiter, "u")

    world.clock.now_s -= 50

    assert 60.0 == (await refuse(limiter, "u")).retry_after_s


ODD_NAMES = ["a", "a}", "{a}", "{}a", "a{b}c", "}{", "a:window", "ü ☂", "'\"\\", "a b\tc", "x" * 256, "*", "a\x00b"]


async def test_users_of_any_name_are_told_apart(world, limiter):
    for name in ODD_NAMES:
        world.put(User(name, rpm=1, tpm=5))

    for name in ODD_NAMES:
        await admit(limiter, name, 5)

    for name in ODD_NAMES:
        assert (User(name, 1, 5), 1, 5) == await used(limiter, name)
