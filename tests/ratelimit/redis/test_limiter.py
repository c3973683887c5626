import asyncio
import time

import pytest
from redis.crc import key_slot

from ratelimit.kinds import RPM, TPM, USER_BUDGETS, WINDOW_UNITS, Amounts
from ratelimit.limits import BUDGETS, Admitted, Charge, LimiterUnavailableError, MalformedUserError, Rates, User
from ratelimit.redis.names import api_key_key, model_key, user_key, user_prefix, window_key
from ratelimit.redis.permits import LEASE_S
from ratelimit.window import KEEP_S
from tests.support.limiters import Clock, a_charge, a_redis_limiter, admit, put_user, refuse, used
from tests.support.redis import RedisServer


def stored(server: RedisServer, user: str) -> dict[str, int]:
    with server.client() as client:
        fields = {field.decode(): value for field, value in client.hgetall(window_key(user)).items()}
        return {field: int(value) for field, value in fields.items() if not field.startswith("@")}


def put(server: RedisServer, user: str, record: str | bytes) -> None:
    with server.client() as client:
        client.set(user_key(user), record)


async def test_the_clock_is_the_one_of_redis(server):
    put_user(server, User("u", 5, 5))
    async with a_redis_limiter(server) as limiter:
        with server.client() as client:
            seconds, microseconds = client.time()

        verdict = await admit(limiter, "u", 1)

        assert 0 <= verdict.reservation.slot - seconds < 10
        assert seconds + microseconds / 1e6 <= limiter.now_s() < seconds + 10
        assert 60.0 == verdict.quotas[RPM].reset_s


async def test_a_thousand_at_once_from_several_replicas_admit_exactly_the_limit(server):
    put_user(server, User("u", rpm=100, tpm=10_000))
    async with (
        a_redis_limiter(server) as one, a_redis_limiter(server) as two,
        a_redis_limiter(server) as three, a_redis_limiter(server) as four,
    ):  # fmt: skip
        replicas = (one, two, three, four)
        verdicts = await asyncio.gather(*(replicas[i % 4].reserve(a_charge("u", 100)) for i in range(1000)))

        assert 100 == sum(isinstance(verdict, Admitted) for verdict in verdicts)
        assert (User("u", 100, 10_000), 100, 10_000) == await used(one, "u")


async def test_a_refusal_writes_nothing(server):
    clock = Clock()
    put_user(server, User("u", rpm=5, tpm=100))
    async with a_redis_limiter(server, clock) as limiter:
        await admit(limiter, "u", 40)
        clock.now_s += 30
        await admit(limiter, "u", 60)
        with server.client() as client:
            before = client.dump(window_key("u")), sorted(client.keys())
            for step_s in (0, 20, 20):  # at the last the first charge has left, and still it does not fit
                clock.now_s += step_s
                await refuse(limiter, "u", 41)

            assert before == (client.dump(window_key("u")), sorted(client.keys()))


async def test_the_state_of_a_user_is_bounded_and_expires(server):
    clock = Clock()
    put_user(server, User("u"))
    async with a_redis_limiter(server, clock) as limiter:
        for _ in range(200):
            await admit(limiter, "u", 1)
            clock.now_s += 1
            assert len(stored(server, "u")) <= 2 + len(WINDOW_UNITS) + 61 * (len(WINDOW_UNITS) + 1)
    with server.client() as client:
        assert 61 < client.ttl(window_key("u")) <= 122
        assert -1 == client.ttl(user_key("u"))


async def test_after_a_pause_only_the_new_charge_is_stored(server):
    clock = Clock()
    put_user(server, User("u"))
    async with a_redis_limiter(server, clock) as limiter:
        await admit(limiter, "u", 7)
        clock.now_s += 1000

        await admit(limiter, "u", 3)

    slot = 1_700_001_000
    fields = stored(server, "u")
    expected = {"last": slot * 10**6, "oldest": slot, "requests": 1, "tokens": 3, f"r{slot}": 1, f"t{slot}": 3}
    assert expected == {field: fields[field] for field in expected}
    assert 2 + 2 * len(WINDOW_UNITS) == len(fields)


@pytest.mark.parametrize(
    "record",
    [
        "", "no json", "[]", "7", '"text"', "null", '{"rpm":', '{"rpm":"3"}', '{"rpm":-1}', '{"tpm":1.5}',
        '{"tpm":true}', '{"tpm":1e300}', '{"rpm":[]}', '{"rpm":NaN}', "\x00", "[" * 2000,
    ],
)  # fmt: skip
async def test_a_malformed_record_is_an_error_of_its_own(server, record):
    put(server, "u", record)
    async with a_redis_limiter(server) as limiter:
        with pytest.raises(MalformedUserError):
            await limiter.reserve(a_charge("u", 1))
        with pytest.raises(MalformedUserError):
            await limiter.usage("u")
    assert {} == stored(server, "u")


async def test_a_record_of_another_redis_type_is_malformed_too(server):
    with server.client() as client:
        client.hset(user_key("u"), "rpm", "3")
    async with a_redis_limiter(server) as limiter:
        with pytest.raises(MalformedUserError):
            await limiter.reserve(a_charge("u", 1))


@pytest.mark.parametrize(
    ("record", "user"),
    [
        ('{"name":"u"}', User("u")),
        ('{"name":"u","rpm":null,"tpm":null}', User("u")),
        (' \n{"rpm": 1e2, "tpm": 5.0, "team": {"deep": [1]}}', User("u", 100, 5)),
        ('{"rpm":9007199254740992}', User("u", 2**53)),
    ],
)
async def test_records_of_other_tools_are_read(server, record, user):
    put(server, "u", record)
    async with a_redis_limiter(server) as limiter:
        assert (user, 0, 0) == await used(limiter, "u")
        await admit(limiter, "u", 5)


async def test_an_absurd_charge_fits_no_limit_and_breaks_no_sum(server):
    put_user(server, User("limited", tpm=2**53 - 1))
    put_user(server, User("unlimited"))
    async with a_redis_limiter(server) as limiter:
        assert None is (await refuse(limiter, "limited", 10**40)).retry_after_s
        verdict = await admit(limiter, "unlimited", 10**40)
        await limiter.settle(verdict.reservation, Amounts(1, 12))

        assert (User("unlimited"), 1, 12) == await used(limiter, "unlimited")


async def test_a_request_is_settled_once_whoever_brings_its_end(server):
    put_user(server, User("u", models={"m": Rates()}))
    async with a_redis_limiter(server) as owner, a_redis_limiter(server) as other:
        one, two = [(await admit(owner, "u", 100, "m")).reservation for _ in range(2)]
        both = one._replace(amounts=Amounts(2, 200))

        await other.settle(one, Amounts(1, 30), {"0-a-1": Amounts(0, -70)})
        await owner.settle(both, Amounts(2, 80), {"0-a-1": Amounts(0, -70), "0-a-2": Amounts(0, -50)})
        await other.settle(two, Amounts(1, 50), {"0-a-2": Amounts(0, -50)})

        assert (2, 80) == (await used(owner, "u"))[1:]
        with server.client() as client:
            assert (80, 2) == tuple(map(int, client.hmget(window_key("u", "m"), "tokens", "requests")))
            marks = client.keys("*:settled:*")
            assert {f"{window_key('u')}:settled:0-a-{number}".encode() for number in (1, 2)} == set(marks)
            assert all(0 < client.ttl(mark) <= KEEP_S for mark in marks)


async def test_a_request_that_used_what_was_reserved_costs_no_call(mortal_server):
    put_user(mortal_server, User("u"))
    async with a_redis_limiter(mortal_server) as limiter:
        verdict = await admit(limiter, "u", 100)
        mortal_server.kill()
        await limiter.settle(verdict.reservation, Amounts(1, 100), {"0-a-1": Amounts(0, 0)})


async def test_a_redis_without_memory_changes_nothing_half(server):
    clock = Clock()
    put_user(server, User("u"))
    async with a_redis_limiter(server, clock) as limiter:
        await admit(limiter, "u", 7)
        clock.now_s += 30
        await admit(limiter, "u", 7)
        clock.now_s += 40  # the first charge has left and is still stored
        before = stored(server, "u")
        with server.client() as client:
            client.config_set("maxmemory", 1)
            try:
                with pytest.raises(LimiterUnavailableError, match="memory"):
                    await limiter.reserve(a_charge("u", 5))
            finally:
                client.config_set("maxmemory", 0)

        assert (before, True) == (stored(server, "u"), limiter.up)
        assert 2 == (await admit(limiter, "u", 5)).quotas[RPM].used


async def test_the_window_survives_a_restart_and_so_does_the_limiter(mortal_server):
    put_user(mortal_server, User("u", rpm=2))
    async with a_redis_limiter(mortal_server) as limiter:
        await admit(limiter, "u")
        mortal_server.kill()
        with pytest.raises(LimiterUnavailableError):
            await limiter.reserve(a_charge("u", 0))
        mortal_server.start()
        await asyncio.wait_for(limiter.wait_up(), 10)

        assert 2 == (await admit(limiter, "u")).quotas[RPM].used
        await refuse(limiter, "u")


async def test_a_paused_redis_is_unavailable_after_the_timeout(mortal_server):
    put_user(mortal_server, User("u"))
    async with a_redis_limiter(mortal_server, timeout_s=0.3) as limiter:
        await admit(limiter, "u")
        mortal_server.pause()
        asked_s = time.monotonic()

        with pytest.raises(LimiterUnavailableError):
            await limiter.reserve(a_charge("u", 0))

        assert 0.29 < time.monotonic() - asked_s


async def test_absorbing_counts_in_its_seconds_once_per_handover_and_over_the_limit(server):
    clock = Clock()
    put_user(server, User("u", rpm=3, tpm=100))
    async with a_redis_limiter(server, clock) as limiter:
        now = int(clock())
        await admit(limiter, "u", 10)
        clock.now_s += 5
        slots = {
            now - 70: Amounts(1, 1),
            now - 30: Amounts(2, 80),
            now: Amounts(0, -4),
            now + 5: Amounts(2, 90),
            now + 99: Amounts(1, 7),
            now - 20: Amounts(0, -9),
        }

        for _ in range(3):
            await limiter.absorb(("u",), "", "once", slots)

        assert (User("u", 3, 100), 6, 183) == await used(limiter, "u")
        assert 60.0 == (await refuse(limiter, "u", 1)).quotas[TPM].reset_s
        clock.now_s += 26  # now - 30 has left
        assert (User("u", 3, 100), 4, 103) == await used(limiter, "u")
        clock.now_s += 35
        assert (User("u", 3, 100), 0, 0) == await used(limiter, "u")


async def test_spending_that_is_handed_over_is_known_to_be_until_its_periods_are_forgotten(server):
    slot = int(time.time())
    put_user(server, User("u", budgets={"day": 100}))
    async with a_redis_limiter(server) as limiter:
        for _ in range(2):
            await limiter.absorb(("u",), BUDGETS, "h1", {slot: Amounts(1, 7)})

        usage = await limiter.usage("u")
        assert usage is not None
        assert 7 == usage.quotas[USER_BUDGETS[0]].used
    assert KEEP_S < server.own_client.ttl(f"{user_prefix('u')}:absorbed:h1")


async def test_absorbing_into_an_empty_window_begins_it(server):
    clock = Clock()
    put_user(server, User("u", rpm=2))
    async with a_redis_limiter(server, clock) as limiter:
        now = int(clock())
        await limiter.absorb(("u",), "", "first", {now - 10: Amounts(1, 5), now - 3: Amounts(0, -5)})
        await admit(limiter, "u")

        assert 50.999999 == (await refuse(limiter, "u")).retry_after_s  # it may have been charged at its end


@pytest.mark.parametrize("name", ["u", "ü", "a:b", "a b"])
def test_record_and_window_live_in_one_slot_of_a_cluster(name):
    assert key_slot(user_key(name).encode()) == key_slot(window_key(name).encode())


async def test_places_of_a_killed_replica_are_free_within_seconds_and_those_of_a_living_one_are_kept(server):
    clock = Clock()
    put_user(server, User("u", concurrency=3))
    async with a_redis_limiter(server, clock) as killed, a_redis_limiter(server, clock) as living:
        for limiter in (killed, killed, living):
            await admit(limiter, "u")
        for _ in range(5):
            await refuse(living, "u")
            clock.now_s += 1
            living.renew_permits()
        await admit(living, "u")
        await admit(living, "u")
        await refuse(living, "u")


async def test_a_replica_that_renewed_too_late_still_counts_its_own_permits(server):
    put_user(server, User("u", concurrency=2))
    async with a_redis_limiter(server, clock := Clock()) as limiter:
        await admit(limiter, "u")
        clock.now_s += 2 * LEASE_S

        await admit(limiter, "u")
        await refuse(limiter, "u")


async def test_a_release_that_redis_never_heard_of_is_told_by_the_next_renewal(server):
    put_user(server, User("u", concurrency=1))
    async with a_redis_limiter(server) as limiter:
        verdict = await admit(limiter, "u")
        limiter.renew_permits()  # the first one leaves the number alone
        limiter._permits.give_back(("u",))  # and the word to Redis was lost
        await refuse(limiter, "u")

        limiter.renew_permits()

        await admit(limiter, "u")
        assert verdict.reservation.permits


async def test_a_key_whose_request_is_on_its_way_is_not_told_a_number_whichever_key_came_last(server):
    put_user(server, User("u"))
    keys = {name: Charge("u", Amounts(1, 1), key=name) for name in ("a", "b", "unlimited")}
    for name in ("a", "b"):
        server.own_client.set(api_key_key("u", name), '{"concurrency": 5}')
    async with a_redis_limiter(server) as limiter:
        for charge in (keys["a"], keys["b"]):
            assert isinstance(await limiter.reserve(charge), Admitted)
        list(limiter._permits.renewals())

        question = limiter.reserve(keys["a"])
        assert {("u", "a"): None, ("u", "b"): 1} == dict(limiter._permits.renewals())
        assert isinstance(await question, Admitted)
        assert {("u", "a"): 2, ("u", "b"): 1} == dict(limiter._permits.renewals())
        assert isinstance(await limiter.reserve(keys["unlimited"]), Admitted)


async def test_a_user_without_a_limit_of_concurrency_costs_no_key(server):
    put_user(server, User("u", rpm=3))
    async with a_redis_limiter(server) as limiter:
        await limiter.settle((await admit(limiter, "u", 5, "m")).reservation, Amounts(1, 3))
    with server.client() as client:
        assert sorted([user_key("u").encode(), window_key("u").encode()]) == sorted(client.keys())


async def test_the_state_of_permits_and_of_a_model_is_bounded_and_expires(server):
    clock = Clock()
    put_user(server, User("u", concurrency=500, models={"m": Rates(rpm=500)}))
    for _ in range(5):
        async with a_redis_limiter(server, clock) as limiter:
            for _ in range(60):
                await admit(limiter, "u", 1, "m", rps=500)
                clock.now_s += 0.0625
            clock.now_s += 5
    keys = [f"{window_key('u')}:leases", window_key("u", "m"), model_key("m")]
    with server.client() as client:
        assert [1, True, True] == [client.hlen(keys[0]), client.hlen(keys[1]) < 140, client.hlen(keys[2]) < 60]
        assert all(0 < client.ttl(key) <= 122 for key in keys)


async def test_replicas_know_how_many_they_are_until_one_has_not_been_heard_of_for_seconds(server):
    clock = Clock()
    async with a_redis_limiter(server, clock) as one, a_redis_limiter(server, clock) as two:
        for limiter in (one, two, one):
            await limiter.beat()
        assert {(0, 2), (1, 2)} == {one.share, two.share}
        clock.now_s += 5

        await one.beat()

        assert (0, 1) == one.share


@pytest.mark.parametrize("models", ["5", '"m"', '{"m":5}', '{"m":{"rpm":-1}}', '{"m":{"tpm":"1"}}', '{"m":[1.5]}'])
async def test_malformed_limits_of_a_model_are_an_error_of_its_own(server, models):
    put(server, "u", f'{{"models":{models}}}')
    async with a_redis_limiter(server) as limiter:
        if models != '{"m":[1.5]}':  # a list names no limit for Lua; the store of users calls it malformed
            with pytest.raises(MalformedUserError):
                await limiter.reserve(a_charge("u", 1, "m"))
    put(server, "u", '{"concurrency":"3"}')
    async with a_redis_limiter(server) as limiter:
        with pytest.raises(MalformedUserError):
            await limiter.reserve(a_charge("u", 1, "m"))


async def test_the_permit_of_an_answer_that_nobody_awaits_is_given_back_by_renewals(server):
    put_user(server, User("u", concurrency=2))
    async with a_redis_limiter(server) as limiter:
        await admit(limiter, "u")
        limiter.reserve(a_charge("u", 0))
        await refuse(limiter, "u")

        limiter.renew_permits()  # certain of nothing yet: the user is new
        limiter.renew_permits()

        await admit(limiter, "u")
