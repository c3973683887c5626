import json
from collections.abc import AsyncIterator

import pytest

from ratelimit.accounts.keys import HOLDERS, KEY_LENGTH, KEY_PREFIX, NO_TERMS, TERMS, Key, KeyStore, Terms
from ratelimit.accounts.users import UserStoreUnavailableError
from ratelimit.limits import Policy
from tests.support.redis import RedisServer


class Clock:
    now_s = 1_700_000_000.5

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(server: RedisServer, clock: Clock) -> AsyncIterator[KeyStore]:
    made = KeyStore(server.url, 5.0, clock)
    yield made
    await made.aclose()


def everything(server: RedisServer) -> str:
    with server.client() as client:
        return str([(name, client.hgetall(name)) for name in client.scan_iter()])


async def test_a_key_is_long_random_and_told_once(server, store):
    secret, key = await store.create("lgy", "laptop")
    other, _ = await store.create("lgy", "laptop")

    assert (KEY_PREFIX, KEY_LENGTH) == (secret[: len(KEY_PREFIX)], len(secret))
    assert secret != other
    assert Key(key.id, "lgy", "laptop", 1_700_000_000, secret[-4:]) == key
    assert secret not in everything(server)
    assert secret.removeprefix(KEY_PREFIX)[:-4] not in everything(server)


async def test_a_users_keys_are_listed_the_oldest_first_and_nobody_elses(store, clock):
    made = []
    for name in ("a", "b", "c"):
        clock.now_s += 1
        made.append((await store.create("ü {x}", name))[1])
    await store.create("other", "")

    assert made == await store.list("ü {x}")
    assert [] == await store.list("nobody")


async def test_a_revoked_key_is_gone_and_only_it(store):
    _, first = await store.create("lgy", "first")
    _, second = await store.create("lgy", "second")

    assert first == await store.revoke("lgy", first.id)

    assert [second] == await store.list("lgy")
    assert [None, None] == [await store.revoke("lgy", first.id), await store.revoke("other", second.id)]


async def test_revoking_all_of_a_user_leaves_nothing_of_it(server, store):
    for name in ("a", "b"):
        await store.create("lgy", name)
    _, other = await store.create("other", "")

    await store.revoke_all("lgy")
    await store.revoke_all("nobody")

    assert ([], [other]) == (await store.list("lgy"), await store.list("other"))
    with server.client() as client:
        assert [1, 1] == [client.hlen(name) for name in (HOLDERS, TERMS)]


async def test_a_change_replaces_the_terms_and_nothing_else(store):
    before = Terms(1_900_000_000, ("a",), Policy(5, None, 2, {"day": 100, "cost_month": 1_500_000_000}))
    _, key = await store.create("lgy", "laptop", before)
    assert [before] == [each.terms for each in await store.list("lgy")]

    changed = await store.update("lgy", key.id, "desk", Terms(None, ("b", "c")))

    assert key._replace(name="desk", terms=Terms(None, ("b", "c"))) == changed
    assert [changed] == await store.list("lgy")
    assert [None, None] == [await store.update(user, "x", "", NO_TERMS) for user in ("lgy", "other")]


async def test_limits_of_a_key_are_where_the_limiter_reads_them_while_it_has_any(server, store):
    _, key = await store.create("lgy", "", Terms(policy=Policy(tpm=10, budgets={"day": 5, "cost_day": 10**8})))
    record = f"forebay:{{aibrix-users/lgy}}:key:{key.id}"
    with server.client() as client:
        assert {"tpm": 10, "budgets": {"day": 5, "cost_day": 0.1}} == json.loads(client.get(record))
        await store.update("lgy", key.id, "", NO_TERMS)
        assert None is client.get(record)
        await store.update("lgy", key.id, "", Terms(policy=Policy(rpm=1)))
        assert {"rpm": 1} == json.loads(client.get(record))
        await store.revoke_all("lgy")
        assert None is client.get(record)


async def test_a_key_that_an_older_release_made_is_listed(server, store):
    old = {"id": "1", "user": "lgy", "name": "n", "created": 1, "last4": "abcd", "digest": "d"}
    with server.client() as client:
        client.hset("forebay:{api-keys}:of:lgy", "1", json.dumps(old))

    assert [Key("1", "lgy", "n", 1, "abcd")] == await store.list("lgy")


async def test_calls_end_in_time_while_redis_is_away(mortal_server):
    store = KeyStore(mortal_server.url, 0.2, Clock())
    mortal_server.kill()

    for call in (store.create("u", ""), store.list("u"), store.revoke("u", "x"), store.revoke_all("u")):
        with pytest.raises(UserStoreUnavailableError):
            await call
    await store.aclose()
