import asyncio

import pytest

from ratelimit import heard as heard_module
from ratelimit.fallback import LocalFallback
from ratelimit.kinds import CONCURRENCY, MODEL_RPM, RPM, TPM, Amounts
from ratelimit.limits import (
    UNLIMITED,
    Admitted,
    Charge,
    Holder,
    LimiterUnavailableError,
    Rates,
    Refused,
    UnknownUser,
    User,
)
from ratelimit.redis.limiter import RedisLimiter
from ratelimit.redis.names import user_key, window_key
from tests.support.fallbacks import a_fallback, come_back, leave
from tests.support.limiters import a_charge, a_redis_limiter, admit, put_user, refuse, used
from tests.support.polling import until
from tests.support.redis import RedisServer


async def test_while_redis_is_there_it_decides(server):
    put_user(server, User("u", rpm=1))
    async with a_fallback(server) as limiter:
        verdict = await admit(limiter, "u", 9)
        await refuse(limiter, "u")
        await limiter.settle(verdict.reservation, Amounts(1, 4))

        assert (User("u", 1), 1, 4) == await used(limiter, "u")
        assert UnknownUser("nobody") == await limiter.reserve(a_charge("nobody", 1))
        assert limiter.up


async def test_what_is_admitted_here_alone_is_known_to_nobody_else(mortal_server):
    put_user(mortal_server, User("u", rpm=5))
    async with a_fallback(mortal_server) as limiter:
        shared = await admit(limiter, "u", 1)
        await leave(mortal_server, limiter)
        alone = await admit(limiter, "u", 1)

    assert (True, False) == (shared.reservation.is_shared, alone.reservation.is_shared)


async def test_local_goes_on_from_the_limits_and_sums_last_seen(mortal_server):
    put_user(mortal_server, User("u", rpm=5, tpm=100))
    async with a_fallback(mortal_server) as limiter:
        await admit(limiter, "u", 30)
        await admit(limiter, "u", 30)
        await leave(mortal_server, limiter)

        verdict = await admit(limiter, "u", 40)
        refused = await refuse(limiter, "u", 1)

    assert (3, 100) == (verdict.quotas[RPM].used, verdict.quotas[TPM].used)
    assert 100 == refused.limit
    assert refused.retry_after_s is not None and 55 < refused.retry_after_s <= 62


async def test_a_user_never_seen_here_cannot_be_judged(mortal_server):
    put_user(mortal_server, User("u"))
    async with a_fallback(mortal_server) as limiter:
        await leave(mortal_server, limiter)

        with pytest.raises(LimiterUnavailableError):
            await limiter.reserve(a_charge("u", 1))


async def test_a_user_deleted_before_redis_left_is_not_judged_by_old_limits(mortal_server):
    put_user(mortal_server, User("u"))
    async with a_fallback(mortal_server) as limiter:
        await admit(limiter, "u")
        with mortal_server.client() as client:
            client.delete(user_key("u"))
        await limiter.reserve(a_charge("u", 1))
        await leave(mortal_server, limiter)

        with pytest.raises(LimiterUnavailableError):
            await limiter.reserve(a_charge("u", 1))


async def test_deny_refuses_everything_and_forgets_no_settlement(mortal_server):
    put_user(mortal_server, User("u"))
    async with a_fallback(mortal_server, "deny") as limiter:
        verdict = await admit(limiter, "u", 50)
        await leave(mortal_server, limiter)
        with pytest.raises(LimiterUnavailableError):
            await limiter.reserve(a_charge("u", 1))
        await limiter.settle(verdict.reservation, Amounts(1, 8))

        await come_back(mortal_server, limiter)

        assert (User("u"), 1, 8) == await used(limiter, "u")


async def test_allow_admits_anybody_without_quotas_and_counts_nothing(mortal_server):
    put_user(mortal_server, User("u", rpm=0))
    async with a_fallback(mortal_server, "allow") as limiter:
        await leave(mortal_server, limiter)
        verdict = await admit(limiter, "u", 50)
        await limiter.settle(verdict.reservation, Amounts(1, 20))

        await come_back(mortal_server, limiter)

        assert UNLIMITED == verdict.quotas
        assert (User("u", rpm=0), 0, 0) == await used(limiter, "u")


async def test_what_was_admitted_alone_is_charged_once_on_return(mortal_server):
    put_user(mortal_server, User("u", rpm=5, tpm=1000))
    async with a_fallback(mortal_server) as limiter:
        await admit(limiter, "u", 100)
        await leave(mortal_server, limiter)
        settled = await admit(limiter, "u", 100)
        open_still = await admit(limiter, "u", 100)
        await limiter.settle(settled.reservation, Amounts(1, 30))

        await come_back(mortal_server, limiter)
        assert (User("u", 5, 1000), 3, 230) == await used(limiter, "u")

        await limiter.settle(open_still.reservation, Amounts(1, 10))
        assert (User("u", 5, 1000), 3, 140) == await used(limiter, "u")
        assert 4 == (await admit(limiter, "u")).quotas[RPM].used


async def test_settlements_of_before_reach_redis_after(mortal_server):
    put_user(mortal_server, User("u", tpm=1000))
    async with a_fallback(mortal_server) as limiter:
        refund, more = await admit(limiter, "u", 100), await admit(limiter, "u", 100)
        await leave(mortal_server, limiter)
        await limiter.settle(refund.reservation, Amounts(1, 0))
        await limiter.settle(more.reservation, Amounts(1, 130))

        await come_back(mortal_server, limiter)

        assert (User("u", None, 1000), 2, 130) == await used(limiter, "u")


async def test_what_was_settled_while_redis_was_away_is_not_settled_again_by_another(mortal_server):
    put_user(mortal_server, User("u", tpm=1000))
    async with a_fallback(mortal_server) as one, a_fallback(mortal_server) as two:
        first, second = (await admit(one, "u", 100)).reservation, (await admit(one, "u", 100)).reservation
        await leave(mortal_server, one)
        for held, request in ((first, "0-a-1"), (second, "0-a-2")):
            await one.settle(held, Amounts(1, 30), {request: Amounts(0, -70)})

        await come_back(mortal_server, one)
        assert (User("u", None, 1000), 2, 60) == await used(one, "u")
        await two.settle(first, Amounts(1, 30), {"0-a-1": Amounts(0, -70)})

        assert (User("u", None, 1000), 2, 60) == await used(two, "u")


async def test_two_absences_in_a_row_count_everything_once(mortal_server):
    put_user(mortal_server, User("u", rpm=10))
    async with a_fallback(mortal_server) as limiter:
        await admit(limiter, "u")
        for _ in range(2):
            await leave(mortal_server, limiter)
            await admit(limiter, "u", 7)
            await come_back(mortal_server, limiter)

        assert (User("u", rpm=10), 3, 14) == await used(limiter, "u")


async def test_two_replicas_that_were_alone_both_give_back_what_they_admitted(mortal_server):
    put_user(mortal_server, User("u", rpm=10))
    async with a_fallback(mortal_server) as one, a_fallback(mortal_server) as two:
        for limiter in (one, two):
            await admit(limiter, "u")
        mortal_server.kill()
        for limiter in (one, two):
            await admit(limiter, "u", 5)

        await come_back(mortal_server, one)
        await until(lambda: two.up)

        assert (User("u", rpm=10), 4, 10) == await used(one, "u")


async def test_load_across_an_absence_never_admits_more_than_the_limit(mortal_server):
    put_user(mortal_server, User("u", rpm=40))
    async with a_fallback(mortal_server) as limiter:
        await admit(limiter, "u")

        async def ask(i: int) -> object:
            await asyncio.sleep(i * 0.002)
            return await limiter.reserve(a_charge("u", 1))

        asking = [asyncio.create_task(ask(i)) for i in range(600)]
        await asking[10]
        mortal_server.kill()
        await asking[200]
        mortal_server.start()
        verdicts = await asyncio.gather(*asking)
        await until(lambda: limiter.up)

        assert 10 < sum(hasattr(verdict, "reservation") for verdict in verdicts) <= 39
        await refuse(limiter, "u")


async def test_a_reserve_whose_answer_was_lost_is_decided_here_and_what_it_charged_there_stays_until_it_leaves(
    mortal_server,
):
    put_user(mortal_server, User("u", rpm=9, tpm=1000, concurrency=9, models={"m": Rates(rpm=9)}))
    async with a_fallback(mortal_server, timeout_s=0.3) as limiter:
        await admit(limiter, "u", 1, "m")
        mortal_server.pause()
        verdicts = await asyncio.gather(*(admit(limiter, "u", 100, "m") for _ in range(3)))
        mortal_server.resume()
        await until(lambda: limiter.up)

        verdict = await admit(limiter, "u", 1, "m")

        assert [(2, 101), (3, 201), (4, 301)] == [(each.quotas[RPM].used, each.quotas[TPM].used) for each in verdicts]
        used_twice = verdict.quotas[RPM].used - 5  # Redis reads what was sent to it before it was stopped
        assert used_twice == verdict.quotas[MODEL_RPM].used - 5 == 3
        assert 302 + 100 * used_twice == verdict.quotas[TPM].used


async def test_a_lost_reserve_that_was_refused_here_stays_charged_there_until_it_leaves(mortal_server):
    put_user(mortal_server, User("u", rpm=9))
    async with a_fallback(mortal_server, "deny", timeout_s=0.3) as limiter:
        await admit(limiter, "u")
        mortal_server.pause()
        with pytest.raises(LimiterUnavailableError):
            await limiter.reserve(a_charge("u", 1))
        mortal_server.resume()
        await until(lambda: limiter.up)

        assert 3 == (await admit(limiter, "u")).quotas[RPM].used


async def test_each_of_several_replicas_enforces_its_share(mortal_server):
    put_user(mortal_server, User("u", rpm=10, tpm=103, concurrency=6, models={"m": Rates(rpm=5)}))
    put_user(mortal_server, User("v", rpm=2, tpm=100))
    put_user(mortal_server, User("unused", rpm=11, tpm=5))
    async with a_fallback(mortal_server) as one, a_fallback(mortal_server) as two, a_fallback(mortal_server) as three:
        replicas = (one, two, three)
        for limiter in (*replicas, *replicas):
            await limiter._primary.beat()
        for limiter in replicas:
            await admit(limiter, "u", 1, "m")
            await refuse(limiter, "unused", 6)
            await limiter.check(a_charge("v", 1))
        await admit(one, "v", 90)
        for limiter in replicas:
            await limiter.reserve(a_charge("v", 50))
        await leave(mortal_server, one)

        of_u = [await count_admitted(limiter, a_charge("u", 1, "m")) for limiter in replicas]
        of_v = [await limiter.reserve(a_charge("v", 5)) for limiter in replicas]

        shares = [await count_admitted(limiter, a_charge("unused", 0)) for limiter in replicas]
        assert 11 == sum(shares)
        assert sum(of_u) <= 2  # of the five for the model three are used
        assert sum(isinstance(verdict, Admitted) for verdict in of_v) <= 1
        assert all(verdict.retry_after_s is not None for verdict in of_v if isinstance(verdict, Refused))
        whole_but_none = await one.reserve(a_charge("v", 101))
        assert isinstance(whole_but_none, Refused) and whole_but_none.retry_after_s is None


async def count_admitted(limiter: LocalFallback, charge: Charge) -> int:
    verdicts = [await limiter.reserve(charge) for _ in range(10)]
    return sum(isinstance(verdict, Admitted) for verdict in verdicts)


async def test_places_taken_alone_are_told_on_return_and_given_back_once(mortal_server):
    put_user(mortal_server, User("u", concurrency=3))
    async with a_fallback(mortal_server) as limiter:
        before = await admit(limiter, "u")
        await leave(mortal_server, limiter)
        alone = await admit(limiter, "u")
        await admit(limiter, "u")
        refused = await refuse(limiter, "u")
        limiter.release(before.reservation)
        await admit(limiter, "u")
        await come_back(mortal_server, limiter)
        for _ in range(2):
            limiter._primary.renew_permits()

        await refuse(limiter, "u")
        limiter.release(alone.reservation)
        await admit(limiter, "u")
        assert (CONCURRENCY, 1.0) == (refused.kind, refused.retry_after_s)


async def test_nobody_in_particular_meets_the_limit_of_the_model_while_redis_is_away_too(mortal_server):
    async with a_fallback(mortal_server) as limiter:
        await admit(limiter, "", 5, "m", rps=2)
        await leave(mortal_server, limiter)

        verdicts = [await limiter.reserve(a_charge("", 5, "m", rps=2)) for _ in range(3)]
        await limiter.settle(verdicts[0].reservation, Amounts(1, 3))

        assert [Admitted, Admitted, Refused] == [type(verdict) for verdict in verdicts]
        assert {} == limiter._ledger


async def test_a_dry_run_goes_on_too(mortal_server):
    put_user(mortal_server, User("u", rpm=1))
    async with a_fallback(mortal_server) as limiter:
        await limiter.reserve(a_charge("u", 1))
        await leave(mortal_server, limiter)

        assert isinstance(await limiter.check(a_charge("u", 1)), Refused)
    async with a_fallback(mortal_server, "allow") as limiter:
        assert isinstance(await limiter.check(a_charge("u", 1)), Admitted)


async def test_a_settlement_that_may_have_run_is_not_repeated(mortal_server):
    put_user(mortal_server, User("u"))
    async with a_fallback(mortal_server, timeout_s=0.3) as limiter:
        verdict, other = await admit(limiter, "u", 100), await admit(limiter, "u", 1000)
        mortal_server.pause()
        with pytest.raises(LimiterUnavailableError):
            await limiter.settle(verdict.reservation, Amounts(1, 30))
        mortal_server.resume()
        await until(lambda: limiter.up)

        assert other.quotas[TPM].used == 1100
        assert (User("u"), 2, 1030) == await used(limiter, "u")


async def test_one_window_that_redis_cannot_serve_leaves_the_others_to_redis(server):
    for name in ("broken", "well"):
        put_user(server, User(name, rpm=5))
    async with a_fallback(server) as limiter:
        await admit(limiter, "broken")
        await admit(limiter, "well")
        with server.client() as client:
            client.set(window_key("broken"), "not a hash")

        assert 2 == (await admit(limiter, "broken")).quotas[RPM].used

        assert limiter.up
        await admit(limiter, "well")
        assert {b"requests": b"2"}.items() <= hgetall(server, "well").items()
        with server.client() as client:
            client.delete(window_key("broken"))
        await until(lambda: hgetall(server, "broken").get(b"requests") == b"1")


def hgetall(server: RedisServer, user: str) -> dict[bytes, bytes]:
    with server.client() as client:
        return client.hgetall(window_key(user))


async def test_users_remembered_are_bounded(server, monkeypatch):
    monkeypatch.setattr(heard_module, "MAX_USERS", 2)
    for name in ("a", "b", "c"):
        put_user(server, User(name))
    async with a_redis_limiter(server) as primary:
        cable = Unplugged(primary)
        limiter = LocalFallback(cable, "local")
        for name in ("a", "b", "a", "c"):
            await admit(limiter, name)
        cable.plugged = False

        await admit(limiter, "a")
        with pytest.raises(LimiterUnavailableError):
            await limiter.reserve(a_charge("b", 1))
        await limiter.aclose()


class Unplugged:
    """A Redis limiter whose cable can be pulled without ending the server."""

    def __init__(self, limiter: RedisLimiter) -> None:
        self.limiter = limiter
        self.plugged = True

    @property
    def up(self) -> bool:
        return self.plugged

    share = (0, 1)

    def running(self, holder: Holder) -> int:
        return 0

    def now_s(self) -> float:
        return self.limiter.now_s()

    async def wait_up(self) -> None:
        await asyncio.Event().wait()

    async def reserve(self, charge: Charge) -> object:
        if not self.plugged:
            raise LimiterUnavailableError("unplugged")
        return await self.limiter.reserve(charge)
