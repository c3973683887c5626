import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from ratelimit.accounts.users import UserStore, UserStoreUnavailableError
from ratelimit.limits import MalformedUserError, Rates, User
from ratelimit.redis.names import user_key, window_key
from tests.support.limiters import a_redis_limiter, admit, refuse
from tests.support.redis import RedisServer


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[UserStore]:
    made = UserStore(server.url, timeout_s=5.0)
    yield made
    await made.aclose()


def stored(server: RedisServer, name: str) -> object:
    with server.client() as client:
        return json.loads(client.get(user_key(name)))


def put(server: RedisServer, name: str, record: str) -> None:
    with server.client() as client:
        client.set(user_key(name), record)


async def test_a_created_user_is_stored_for_all_tools_without_expiry(server, store):
    assert (User("lgy", 3, None), True) == await store.create(User("lgy", 3))

    assert {"name": "lgy", "rpm": 3, "tpm": None} == stored(server, "lgy")
    with server.client() as client:
        assert -1 == client.ttl("aibrix-users/lgy")


async def test_creating_again_changes_nothing_and_tells_what_is_stored(store):
    await store.create(User("u", 1, 2))

    assert (User("u", 1, 2), False) == await store.create(User("u", 8, 9))
    assert User("u", 1, 2) == await store.read("u")


async def test_an_unknown_user_is_none_everywhere(server, store):
    assert [None] * 3 == [await store.read("u"), await store.update(User("u", 1)), await store.delete("u")]
    with server.client() as client:
        assert [] == client.keys()


async def test_an_update_replaces_the_limits_and_keeps_what_others_wrote(server, store):
    put(server, "u", '{"name":"u","rpm":1,"tpm":2,"team":{"big":123456789012345678901,"list":[],"half":0.5}}')

    assert User("u", None, 2**53) == await store.update(User("u", None, 2**53))

    team = {"big": 123456789012345678901, "list": [], "half": 0.5}
    assert {"name": "u", "rpm": None, "tpm": 2**53, "team": team} == stored(server, "u")


async def test_concurrent_updates_lose_no_field_of_others(server, store):
    put(server, "u", '{"rpm":1,"team":"a"}')

    await asyncio.gather(*(store.update(User("u", i)) for i in range(20)))

    assert "a" == stored(server, "u")["team"]


async def test_deleting_returns_the_last_record(store):
    await store.create(User("u", 1, 2))

    assert User("u", 1, 2) == await store.delete("u")
    assert None is await store.read("u")


async def test_deleting_leaves_the_window(server, store):
    async with a_redis_limiter(server) as limiter:
        await store.create(User("u", rpm=1))
        await admit(limiter, "u")

        await store.delete("u")
        await store.create(User("u", rpm=1))

        await refuse(limiter, "u")


async def test_listing_finds_every_user_once_by_name_and_nothing_else(server, store):
    with server.client() as client:
        client.mset({user_key(f"u{i:04}"): f'{{"rpm":{i}}}' for i in reversed(range(2500))})
        client.set(window_key("u0000"), "not a user")
        client.hset(user_key("hash"), "a", "b")
    put(server, "malformed", "[]")

    assert [User(f"u{i:04}", i) for i in range(2500)] == await store.list()


@pytest.mark.parametrize("limit", [1, 7, 1000, 2600])
async def test_pages_have_every_user_once_whatever_lies_between(server, store, limit: int):
    names = [f"u{i:04}" for i in range(0, 2500, 1 if limit > 1 else 500)]
    with server.client() as client:
        client.mset({user_key(name): "{}" if int(name[1:]) % 5 == 0 else "[]" for name in names})
    found: list[str] = []
    while page := await store.list(found[-1] if found else "", limit):
        assert len(page) <= limit
        found += [user.name for user in page]
        if limit == 7 and len(found) > 50:
            break

    assert found == [name for name in names if int(name[1:]) % 5 == 0][: len(found)]
    assert limit == 7 or len(found) == len(names) / (5 if limit > 1 else 1)


async def test_listing_nobody_is_an_empty_list(store):
    assert [] == await store.list()


async def test_places_and_limits_for_models_are_stored_when_set_and_removed_by_an_update_without(server, store):
    user = User("u", 1, 2, 3, {"m": Rates(4, None)})
    await store.create(user)

    record = {"name": "u", "rpm": 1, "tpm": 2, "concurrency": 3, "models": {"m": {"rpm": 4, "tpm": None}}}
    assert (record, user) == (stored(server, "u"), await store.read("u"))
    await store.update(User("u", 1))
    assert {"name": "u", "rpm": 1, "tpm": None} == stored(server, "u")


@pytest.mark.parametrize(
    "record",
    [
        "", "no json", "[1]", '{"rpm":"3"}', '{"rpm":-1}', '{"tpm":1.5}', '{"tpm":true}', '{"concurrency":-1}',
        '{"models":[1]}', '{"models":{"m":5}}', '{"models":{"m":{"rpm":"1"}}}',
    ],
)  # fmt: skip
async def test_a_malformed_record_is_told_and_can_be_repaired_or_removed(server, store, record):
    put(server, "u", record)
    with pytest.raises(MalformedUserError):
        await store.read("u")
    with pytest.raises(MalformedUserError):
        await store.create(User("u"))
    assert User("u", 4) == await store.update(User("u", 4))
    assert User("u", 4) == await store.read("u")

    put(server, "u", record)
    assert User("u") == await store.delete("u")
    assert None is await store.read("u")


async def test_numbers_written_as_floats_are_limits_when_whole(server, store):
    put(server, "u", '{"rpm":1e2,"tpm":5.0}')

    assert User("u", 100, 5) == await store.read("u")


@pytest.mark.parametrize("name", ["ü ☂", "a{b}c", "*", "x" * 256, "'\"\\"])
async def test_names_are_kept_as_they_are(store, name):
    await store.create(User(name, 1))

    assert [User(name, 1)] == await store.list()
    assert User(name, 1) == await store.read(name)


async def test_without_redis_every_method_says_so_and_recovers(mortal_server):
    store = UserStore(mortal_server.url, timeout_s=5.0)
    await store.create(User("u", 1))
    mortal_server.kill()
    calls = store.create(User("v")), store.read("u"), store.update(User("u")), store.delete("u"), store.list()

    results = await asyncio.gather(*calls, return_exceptions=True)

    assert [UserStoreUnavailableError] * 5 == [type(result) for result in results]
    mortal_server.start()
    assert User("u", 1) == await store.read("u")
    await store.aclose()
