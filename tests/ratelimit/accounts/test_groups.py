"""Groups as Redis holds them."""

import pytest

from ratelimit.accounts.groups import Group, GroupStore
from ratelimit.accounts.users import UserStoreUnavailableError
from ratelimit.limits import MalformedUserError, Policy

TEAM = Group("team ü", Policy(3, 1000, None, {"day": 5}))


@pytest.fixture
async def store(server):
    made = GroupStore(server.url, 5.0)
    yield made
    await made.aclose()


async def test_a_group_is_stored_replaced_read_listed_and_deleted(store):
    await store.put(Group("team ü", Policy()))
    await store.put(TEAM)
    await store.put(Group("b", Policy()))

    assert (TEAM, None) == (await store.get("team ü"), await store.get("nobody"))
    assert [Group("b", Policy()), TEAM] == await store.list()
    assert [TEAM] == await store.list(after="b", limit=1)
    assert (TEAM, None) == (await store.delete("team ü"), await store.delete("team ü"))
    assert [Group("b", Policy())] == await store.list()


async def test_a_malformed_group_is_told_and_can_be_replaced_or_removed(server, store):
    with server.client() as client:
        client.set("forebay:groups/g", '{"tpm":-1}')

    with pytest.raises(MalformedUserError):
        await store.get("g")
    assert [] == await store.list()
    assert Group("g", Policy()) == await store.delete("g")


async def test_calls_end_in_time_while_redis_is_away(mortal_server):
    store = GroupStore(mortal_server.url, 0.2)
    mortal_server.kill()

    for call in (store.put(TEAM), store.get("g"), store.delete("g"), store.list()):
        with pytest.raises(UserStoreUnavailableError):
            await call
    await store.aclose()
