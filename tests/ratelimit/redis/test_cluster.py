import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.crc import key_slot

from ratelimit.accounts.keyring import KeyRing
from ratelimit.accounts.keys import KeyStore
from ratelimit.accounts.sender import Sender
from ratelimit.accounts.users import UserStore
from ratelimit.fallback import LocalFallback
from ratelimit.kinds import GROUP_KINDS, RPM, RPS, Amounts
from ratelimit.limits import Admitted, LimiterUnavailableError, MalformedUserError, Rates, Refused, User
from ratelimit.redis.apart import ClusterLimiter
from ratelimit.redis.batching import NotSentError
from ratelimit.redis.cluster import ClusterCalls
from ratelimit.redis.connection import Script
from ratelimit.redis.names import group_key, model_key, user_key, window_key
from tests.support.limiters import a_charge, admit, refuse, used
from tests.support.polling import until
from tests.support.ports import free_address
from tests.support.redis_cluster import RedisCluster, redis_cluster

NAMES = [f"user-{number}" for number in range(30)]


@pytest.fixture(scope="module")
def running() -> Iterator[RedisCluster]:
    with redis_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(running: RedisCluster) -> RedisCluster:
    running.flush()
    return running


@pytest.fixture
async def limiter(cluster: RedisCluster) -> AsyncIterator[ClusterLimiter]:
    made = ClusterLimiter(cluster.url, 5.0)
    yield made
    await made.aclose()


@pytest.fixture
async def store(cluster: RedisCluster) -> AsyncIterator[UserStore]:
    made = UserStore(cluster.url, 5.0, cluster=True)
    yield made
    await made.aclose()


async def test_a_call_while_the_cluster_is_away_says_why():
    calls = ClusterCalls(f"redis://{free_address()}", (), 0.05)
    script = Script.of("return 1")
    with pytest.raises(NotSentError):
        await calls.call(script, ("k",), ())

    with pytest.raises(NotSentError, match="no node answers"):
        calls.call(script, ("k",), ())


async def test_keys_of_any_user_are_made_known_and_revoked(cluster):
    keys, ring = [made(cluster.url, 5.0, lambda: 0.0, cluster=True) for made in (KeyStore, KeyRing)]
    await ring.refresh()
    made = {name: await keys.create(name, "") for name in NAMES[:6]}

    for name, (secret, key) in made.items():
        assert Sender(name, key.id) == await ring.sender_of(secret)
    for name, (_, key) in made.items():
        assert [key] == await keys.list(name)
        assert key == await keys.revoke(name, key.id)
    await ring.refresh()

    assert {None} == {await ring.sender_of(secret) for secret, _ in made.values()}
    await keys.revoke_all(NAMES[0])
    await ring.aclose()
    await keys.aclose()


async def test_users_of_every_node_are_limited_exactly_by_several_replicas(cluster, store, limiter):
    for name in NAMES:
        await store.create(User(name, rpm=5, tpm=100, concurrency=9, models={"m": Rates(rpm=4)}))
    other = ClusterLimiter(cluster.url, 5.0)
    charges = [a_charge(name, 10, "m") for name in NAMES for _ in range(20)]

    verdicts = await asyncio.gather(*((limiter, other)[i % 2].reserve(each) for i, each in enumerate(charges)))

    assert 4 * len(NAMES) == sum(isinstance(verdict, Admitted) for verdict in verdicts)
    for name in NAMES:
        assert (4, 40) == (await used(limiter, name))[1:]
    for verdict in verdicts:
        if isinstance(verdict, Admitted):
            end = {f"0-a-{id(verdict)}": Amounts(0, -9)}
            for replica in (limiter, other):
                await replica.settle(verdict.reservation, Amounts(1, 1), end)
    assert (4, 4) == (await used(other, NAMES[0]))[1:]
    await other.aclose()


async def test_a_model_refused_by_its_user_is_given_back(cluster, store, limiter):
    for name in NAMES:
        await store.create(User(name, rpm=1))
        await admit(limiter, name)

    for name in NAMES:
        verdict = await refuse(limiter, name, 0, "m", rps=5)
        assert RPM is verdict.kind
    await limiter.reserve(a_charge("nobody", 1, "m", 5))

    counts = await asyncio.gather(*(limiter.reserve(a_charge("", 1, "m", 5)) for _ in range(8)))
    assert 5 == sum(isinstance(verdict, Admitted) for verdict in counts)


async def test_a_model_that_refuses_leaves_the_user_untouched_and_shows_the_users_quotas(store, limiter):
    await store.create(User("u", rpm=5))
    await admit(limiter, "u", 0, "m", rps=1)
    refused = [await limiter.reserve(a_charge("u", 0, "m", 1)), await limiter.check(a_charge("u", 0, "m", 1))]

    assert [(RPS, 1)] * 2 == [(each.kind, each.quotas[RPM].used) for each in refused if isinstance(each, Refused)]
    assert 1 == (await used(limiter, "u"))[1]
    assert isinstance(await limiter.check(a_charge("u", 0, "n", 1)), Admitted)


async def test_a_model_that_refuses_refuses_users_of_a_group_too_and_charges_no_group(cluster, store, limiter):
    cluster.own_client.set(group_key("g"), '{"name": "g", "rpm": 9}')
    await store.create(User("u", rpm=5, group="g"))
    await admit(limiter, "u", 0, "m")
    refused = [await limiter.reserve(a_charge("u", 0, "m", 0)), await limiter.check(a_charge("u", 0, "m", 0))]

    assert [RPS] * 2 == [each.kind for each in refused if isinstance(each, Refused)]
    assert 1 == (await used(limiter, "u"))[1]
    of_group = await limiter.group_usage("g")
    assert of_group is not None
    assert 1 == of_group.quotas[GROUP_KINDS[0]].used


async def test_what_a_user_whose_record_breaks_took_of_the_group_is_given_back(cluster, store, limiter):
    cluster.own_client.set(group_key("g"), '{"name": "g", "rpm": 9, "concurrency": 1}')
    for name in ("broken", "other"):
        await store.create(User(name, group="g"))
        limiter.release((await admit(limiter, name)).reservation)
    cluster.own_client.set(user_key("broken"), '{"name": "broken", "group": "g", "rpm": "many"}')
    list(limiter._permits.renewals())

    with pytest.raises(MalformedUserError):
        await limiter.reserve(a_charge("broken", 1))

    await admit(limiter, "other")
    of_group = await limiter.group_usage("g")
    assert of_group is not None
    assert 3 == of_group.quotas[GROUP_KINDS[0]].used


async def test_a_slot_that_moves_is_followed(cluster, store, limiter):
    name = next(name for name in NAMES if key_slot(user_key(name).encode()) < 5000)
    await admit(limiter, "", 0, "m", rps=9)  # the map is known
    cluster.move(key_slot(user_key(name).encode()), 0, 1)
    await store.create(User(name, rpm=1))

    await admit(limiter, name)

    await refuse(limiter, name)
    cluster.flush()
    cluster.move(key_slot(user_key(name).encode()), 1, 0)


async def test_a_cluster_that_stands_still_before_its_map_is_known_is_waited_for(cluster, store):
    await store.create(User("u", rpm=2))
    limiter = ClusterLimiter(cluster.url, 2.0)
    fallback = LocalFallback(limiter, "local")
    for node in cluster.nodes:
        node.pause()
    asking = asyncio.create_task(admit(fallback, "u"))
    await asyncio.sleep(0.8)  # longer than one attempt may take
    for node in cluster.nodes:
        node.resume()

    assert 1 == (await asking).quotas[RPM].used
    assert fallback.up
    await fallback.aclose()
    await limiter.aclose()


async def test_a_cluster_of_which_no_node_tells_the_map_is_away(tmp_path):
    limiter = ClusterLimiter(f"unix://{tmp_path}/nobody.sock", 30.0)
    with pytest.raises(LimiterUnavailableError):
        await limiter.reserve(a_charge("u", 1))

    assert not limiter.up
    await limiter.aclose()


async def test_while_a_node_is_away_each_replica_goes_on_alone_and_hands_over(cluster, store, limiter):
    fallback = LocalFallback(limiter, "local")
    for name in NAMES:
        await store.create(User(name, rpm=5))
        await fallback.reserve(a_charge(name, 1))
    cluster.nodes[2].kill()

    for name in NAMES:
        assert isinstance(await fallback.reserve(a_charge(name, 1)), Admitted)

    assert not fallback.up
    cluster.start(2)
    cluster.wait_whole()
    await until(lambda: fallback.up)
    for name in NAMES:
        assert 2 == (await used(limiter, name))[1]
    await fallback.aclose()


async def test_the_users_of_all_nodes_are_stored_changed_and_listed(cluster, store):
    for name in NAMES:
        await store.create(User(name, 1))
    await asyncio.gather(*(store.update(User(NAMES[0], number)) for number in range(10)))

    assert sorted(NAMES) == [user.name for user in await store.list()]
    assert User(NAMES[1], 1) == await store.delete(NAMES[1])
    assert None is await store.read(NAMES[1])
    assert None is await store.update(User(NAMES[1], 1))


async def test_nobody_at_the_address_is_an_unavailable_limiter(tmp_path):
    limiter = ClusterLimiter("redis://127.0.0.1:1/0", 1.0)
    with pytest.raises(LimiterUnavailableError):
        await limiter.reserve(a_charge("u", 1))
    await limiter.aclose()


def test_the_keys_of_a_user_are_of_one_slot_and_models_of_others():
    keys = [user_key("u"), window_key("u"), window_key("u", "{m}"), f"{window_key('u')}:leases"]
    assert 1 == len({key_slot(key.encode()) for key in keys})
    assert key_slot(model_key("m").encode()) != key_slot(keys[0].encode())
    assert "u" in json.dumps(keys)
