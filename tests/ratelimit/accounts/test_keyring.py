import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ratelimit.accounts import keyring as keyring_module
from ratelimit.accounts.keyring import KeyRing
from ratelimit.accounts.keys import HOLDERS, KeyStore, Terms, digest_of
from ratelimit.accounts.sender import Sender
from ratelimit.limits import LimiterUnavailableError
from tests.support.redis import RedisServer


@asynccontextmanager
async def keys_on(server: RedisServer) -> AsyncIterator[tuple[KeyStore, KeyRing]]:
    """A store, and a ring that has looked at Redis once."""
    store, ring = KeyStore(server.url, 5.0, lambda: 0.0), KeyRing(server.url, 5.0, lambda: 0.0)
    await ring.refresh()
    try:
        yield store, ring
    finally:
        await ring.aclose()
        await store.aclose()


async def user_of(ring: KeyRing, key: str) -> str | None:
    sender = await ring.sender_of(key)
    return None if sender is None else sender.user


def commands(server: RedisServer) -> int:
    with server.client() as client:
        return int(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


async def test_a_key_names_its_user_from_the_moment_it_is_made(server):
    async with keys_on(server) as (store, ring):
        secret, _ = await store.create("ü ☂", "")

        assert "ü ☂" == await user_of(ring, secret)


async def test_a_key_seen_before_costs_no_call(server):
    async with keys_on(server) as (store, ring):
        secret, _ = await store.create("lgy", "")
        await user_of(ring, secret)
        before = commands(server)

        assert ["lgy"] * 100 == [await user_of(ring, secret) for _ in range(100)]
        assert before == commands(server)


@pytest.mark.parametrize("change", ["", "x", "upper"])
async def test_what_is_no_key_names_nobody(server, change):
    async with keys_on(server) as (store, ring):
        secret, _ = await store.create("lgy", "")
        wrong = {"": secret[:-1], "x": secret[:-1] + ("a" if secret[-1] != "a" else "b"), "upper": secret.upper()}

        assert None is await user_of(ring, wrong[change])


async def test_text_that_cannot_be_a_key_costs_no_call(server):
    async with keys_on(server) as (_, ring):
        before = commands(server)

        assert [None] * 3 == [await user_of(ring, text) for text in ("", "x" * 47, "fby-" + "x" * 100_000)]
        assert before == commands(server)


async def test_a_revoked_key_is_forgotten_at_the_next_look_and_others_stay_good(server):
    async with keys_on(server) as (store, ring):
        first, record = await store.create("lgy", "")
        second, _ = await store.create("lgy", "")
        await asyncio.gather(user_of(ring, first), user_of(ring, second))

        await store.revoke("lgy", record.id)
        await ring.refresh()

        assert (None, "lgy") == (await user_of(ring, first), await user_of(ring, second))


async def test_keys_of_a_deleted_user_are_forgotten(server):
    async with keys_on(server) as (store, ring):
        secret, _ = await store.create("lgy", "")
        await user_of(ring, secret)

        await store.revoke_all("lgy")
        await ring.refresh()

        assert None is await user_of(ring, secret)


async def test_a_key_looked_up_while_it_is_revoked_is_not_remembered(server):
    async with keys_on(server) as (store, ring):
        secret, _ = await store.create("lgy", "")
        _, other = await store.create("lgy", "")
        await store.revoke("lgy", other.id)  # the ring has not looked since

        assert "lgy" == await user_of(ring, secret)
        assert {} == ring._senders
        await ring.refresh()
        assert "lgy" == await user_of(ring, secret)
        assert 1 == len(ring._senders)


async def test_the_ring_keeps_looking_by_itself(server, monkeypatch):
    monkeypatch.setattr(keyring_module, "POLL_S", 0.01)
    async with keys_on(server) as (store, ring):
        secret, record = await store.create("lgy", "")
        watching = asyncio.create_task(ring.run())
        await user_of(ring, secret)

        await store.revoke("lgy", record.id)

        async with asyncio.timeout(10):
            while await user_of(ring, secret) is not None:  # noqa: ASYNC110  # what another connection did has no event
                await asyncio.sleep(0.01)
        watching.cancel()


async def test_while_redis_is_away_known_keys_go_on_and_unknown_ones_cannot_be_judged(mortal_server):
    async with keys_on(mortal_server) as (store, ring):
        known, _ = await store.create("lgy", "")
        unknown, _ = await store.create("lgy", "")
        await user_of(ring, known)
        mortal_server.kill()
        await ring.refresh()

        assert "lgy" == await user_of(ring, known)
        with pytest.raises(LimiterUnavailableError):
            await user_of(ring, unknown)


async def test_of_many_keys_the_latest_are_remembered(server, monkeypatch):
    monkeypatch.setattr(keyring_module, "MAX_KEYS", 2)
    async with keys_on(server) as (store, ring):
        for name in ("a", "b", "c"):
            secret, _ = await store.create(name, "")
            await user_of(ring, secret)

        assert ["b", "c"] == [sender.user for sender in ring._senders.values()]


async def test_a_key_ends_at_the_second_of_its_expiry_also_one_that_is_remembered(server):
    now_s = [999.0]
    store, ring = KeyStore(server.url, 5.0, lambda: 0.0), KeyRing(server.url, 5.0, lambda: now_s[0])
    await ring.refresh()
    secret, key = await store.create("lgy", "", Terms(1000))

    assert (None, Sender("lgy", key.id, 1000)) == (ring.remembered(secret), await ring.sender_of(secret))
    now_s[0] = 999.999
    assert Sender("lgy", key.id, 1000) == ring.remembered(secret)
    now_s[0] = 1000.0
    assert (None, None) == (ring.remembered(secret), await ring.sender_of(secret))
    await ring.refresh()
    assert None is await ring.sender_of(secret)
    await ring.aclose()
    await store.aclose()


async def test_changed_terms_bind_at_the_next_look(server):
    async with keys_on(server) as (store, ring):
        secret, key = await store.create("lgy", "", Terms(models=("a", "b")))
        assert Sender("lgy", key.id, models=frozenset("ab")) == await ring.sender_of(secret)

        await store.update("lgy", key.id, "", Terms(models=("b",)))
        await ring.refresh()

        sender = await ring.sender_of(secret)
        assert sender is not None
        assert (False, True) == (sender.may_use("a"), sender.may_use("b"))


async def test_a_key_that_an_older_release_made_has_no_terms(server):
    secret = "fby-" + "x" * 43
    with server.client() as client:
        client.hset(HOLDERS, digest_of(secret), "lgy")
    async with keys_on(server) as (_, ring):
        sender = await ring.sender_of(secret)

    assert Sender("lgy") == sender
