"""Replicas on a real Redis: what one tells the others know, whatever happens to messages, replicas and Redis."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.config.settings import RedisSettings
from gateway.sharing.channels import PREFIX_KEY, Post
from gateway.sharing.pace import BURST, EXPECTED_S
from gateway.sharing.replicas import LEASE_S
from tests.support.polling import until
from tests.support.redis import RedisServer, redis_server
from tests.support.redis_cluster import redis_cluster
from tests.support.sharing import Replica, all_know_each_other


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def redis(shared_server: RedisServer) -> RedisSettings:
    return RedisSettings(url=shared_server.url)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of the test's own."""
    with redis_server() as running:
        yield running


async def started(stack: AsyncExitStack, *names: str, redis: RedisSettings) -> list[Replica]:
    return [await stack.enter_async_context(Replica(name, redis).running()) for name in names]


async def test_what_one_tells_all_others_know(redis):
    async with AsyncExitStack() as stack:
        a, b, c = await started(stack, "a", "b", "c", redis=redis)
        await all_know_each_other(a, b, c)
        a.notes.put("p", 3)
        b.notes.put("p", 1)

        await until(lambda: c.notes.others == {"a": {"p": 3}, "b": {"p": 1}})
        await until(lambda: b.notes.others["a"] == {"p": 3})


async def test_a_latecomer_is_told_everything(redis):
    async with AsyncExitStack() as stack:
        (a,) = await started(stack, "a", redis=redis)
        a.notes.put("p", 3)
        await until(lambda: a.sharing.page()["messages"] >= 2)
        (b,) = await started(stack, "b", redis=redis)

        await until(lambda: b.notes.others == {"a": {"p": 3}})


async def test_the_first_two_know_each_other_without_waiting_for_a_heartbeat(
    redis: RedisSettings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gateway.sharing.sharing.HEARTBEAT_S", 300.0)
    async with AsyncExitStack() as stack:
        (a,) = await started(stack, "a", redis=redis)
        await until(lambda: a.sharing.page()["messages"] >= 2)  # the second says that it hears
        (b,) = await started(stack, "b", redis=redis)

        await all_know_each_other(a, b)


async def test_a_killed_replica_is_forgotten_within_3_s(redis):
    async with AsyncExitStack() as stack:
        a, _ = await started(stack, "a", "b", redis=redis)
        async with Replica("c", redis).running() as c:
            c.notes.put("p", 3)
            await until(lambda: a.notes.others.get("c") == {"p": 3})
        ended_s = time.monotonic()
        with capture_logs() as logs:
            await until(lambda: a.knows("b"))

        assert LEASE_S - 0.6 < time.monotonic() - ended_s
        assert ["c"] == [entry["sibling"] for entry in logs if entry["event"] == "replica_lost"][:1]
        assert not a.sharing.replicas.is_alive("c")
        assert a.sharing.replicas.is_alive("b")


async def test_a_replica_that_ends_is_forgotten_at_once(redis: RedisSettings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.sharing.replicas.LEASE_S", 300.0)
    async with AsyncExitStack() as stack:
        a, _ = await started(stack, "a", "b", redis=redis)
        with capture_logs() as logs:
            async with Replica("c", redis).running() as c:
                c.leaves = True
                c.notes.put("p", 3)
                await until(lambda: a.notes.others.get("c") == {"p": 3})
            await until(lambda: a.knows("b"))

        assert "c" in [entry["sibling"] for entry in logs if entry["event"] == "replica_left"]
        assert (0, 2) == a.place[:2]


async def test_one_that_ends_while_redis_says_nothing_ends_soon(server):
    async with Replica("a", RedisSettings(url=server.url, timeout_s=60.0)).running() as a:
        a.leaves = True
        await until(lambda: a.sharing.page()["messages"] >= 2)
        server.pause()
        begun_s = time.monotonic()
    assert time.monotonic() - begun_s < 20
    server.resume()


async def test_a_message_that_was_lost_is_made_good(redis):
    async with AsyncExitStack() as stack:
        a, b = await started(stack, "a", "b", redis=redis)
        await all_know_each_other(a, b)
        a.notes.put("p", 3)
        a.notes.take(0.0)  # the change is gone without having been told
        a.sharing._serial += 1

        await until(lambda: b.notes.others == {"a": {"p": 3}})


async def test_a_replica_that_nobody_hears_works_on_alone_and_rejoins(server):
    redis = RedisSettings(url=server.url, timeout_s=0.5)
    async with AsyncExitStack() as stack:
        a, b = await started(stack, "a", "b", redis=redis)
        a.notes.put("p", 3)
        await all_know_each_other(a, b)
        with capture_logs() as logs:
            server.kill()
            await until(lambda: a.knows() and b.knows() and not a.figure("forebay_sharing_up"))
            assert 1 == a.figure("forebay_replicas")
            a.notes.put("p", 4)
            a.notes.put("q", 1)
            server.start()
            await all_know_each_other(a, b)
            await until(lambda: b.notes.others == {"a": {"p": 4, "q": 1}})
            await until(lambda: {1} == {replica.figure("forebay_sharing_up") for replica in (a, b)})

        told = [entry["event"] for entry in logs]
        assert [2, 2] == [told.count(event) for event in ("sharing_is_away", "sharing_is_back")]
        assert all(entry["why"] for entry in logs if entry["event"] == "sharing_is_away")
        assert 2 == a.figure("forebay_replicas")


async def test_a_short_restart_of_redis_loses_nobody(server):
    redis = RedisSettings(url=server.url)
    async with AsyncExitStack() as stack:
        a, b = await started(stack, "a", "b", redis=redis)
        await all_know_each_other(a, b)
        server.kill()
        a.notes.put("p", 3)
        server.start()

        await until(lambda: b.notes.others == {"a": {"p": 3}})


async def test_replicas_on_a_cluster_share_and_rejoin_when_a_node_was_away():
    with redis_cluster() as cluster:
        redis = RedisSettings(url=cluster.url, cluster=True, timeout_s=0.5)
        async with AsyncExitStack() as stack:
            a, b = await started(stack, "a", "b", redis=redis)
            a.notes.put("p", 3)
            await until(lambda: b.notes.others == {"a": {"p": 3}})
            cluster.nodes[0].kill()  # the one that they hear
            await until(lambda: a.knows() and b.knows())
            a.notes.put("p", 4)
            cluster.start(0)

            await until(lambda: b.notes.others == {"a": {"p": 4}})
            await all_know_each_other(a, b)


async def test_what_is_not_ours_is_ignored_with_one_line_for_each_kind(redis, shared_server):
    foreign = {
        "garbage": b"\xc1 not MessagePack",
        "format": msgspec.msgpack.encode((2, {"of": "the future"})),
    }
    async with AsyncExitStack() as stack:
        a, b = await started(stack, "a", "b", redis=redis)
        await all_know_each_other(a, b)
        with capture_logs() as logs, shared_server.client() as stranger:
            for message in (*foreign.values(), *foreign.values()):
                stranger.publish(a.channels.of_all, message)
                stranger.publish(a.channels.of("a"), message)
            stranger.publish(a.channels.of("a"), msgspec.msgpack.encode((1, ("unheard of", "b", b""))))
            a.notes.put("p", 3)
            await until(lambda: b.notes.others == {"a": {"p": 3}})
            await until(lambda: a.figure('forebay_sharing_refused_messages_total{kind="letter"}') == 1)

        assert [4, 4] == [a.figure(f'forebay_sharing_refused_messages_total{{kind="{kind}"}}') for kind in foreign]
        assert {"garbage": 2, "format": 2, "letter": 1} == Counter(
            entry["kind"] for entry in logs if entry["event"] == "message_ignored"
        )


async def test_letters_reach_the_one_they_are_for(redis):
    got: list[tuple[str, bytes]] = []
    async with AsyncExitStack() as stack:
        (a,) = await started(stack, "a", redis=redis)
        reader = Replica("b", redis, greeting=lambda sender, body: got.append((sender, body)))
        b = await stack.enter_async_context(reader.running())
        await all_know_each_other(a, b)

        post = Post("greeting", a.channels, a.sharing.replicas)
        assert post.alive("b")
        await post.send("b", b"hello")
        await until(lambda: got == [("a", b"hello")])


async def test_a_letter_is_not_sent_while_redis_is_away(server):
    async with Replica("a", RedisSettings(url=server.url, timeout_s=0.2)).running() as a:
        server.kill()
        with pytest.raises(OSError, match=r"redis\.sock"):
            await Post("greeting", a.channels, a.sharing.replicas).send("b", b"hello")


async def test_gateways_on_other_databases_do_not_meet(shared_server):
    async with AsyncExitStack() as stack:
        (a,) = await started(stack, "a", redis=RedisSettings(url=shared_server.url))
        (b,) = await started(stack, "b", redis=RedisSettings(url=f"{shared_server.url}?db=1"))
        (c,) = await started(stack, "c", redis=RedisSettings(url=f"{shared_server.url}?db=1"))
        await all_know_each_other(b, c)

        assert a.knows()


async def test_clocks_an_hour_apart_change_nothing(redis):
    async with AsyncExitStack() as stack:
        (a,) = await started(stack, "a", redis=redis)
        ahead = Replica("b", redis, clock=lambda: time.monotonic() + 3600.0)
        b = await stack.enter_async_context(ahead.running())
        a.notes.put("p", 3)
        b.notes.put("p", 2)

        await until(lambda: (a.notes.others, b.notes.others) == ({"b": {"p": 2}}, {"a": {"p": 3}}))


async def test_one_that_stood_still_believes_nothing_that_it_knew_and_rejoins(redis):
    ahead_s = [0.0]
    async with AsyncExitStack() as stack:
        (a,) = await started(stack, "a", redis=redis)
        stopped = Replica("b", redis, clock=lambda: time.monotonic() + ahead_s[0])
        b = await stack.enter_async_context(stopped.running())
        a.notes.put("p", 3)
        await until(lambda: b.notes.others == {"a": {"p": 3}})
        with capture_logs() as logs:
            ahead_s[0] = 5.0
            await until(lambda: any(entry["event"] == "replica_lost" for entry in logs))
            await until(lambda: b.notes.others == {"a": {"p": 3}})

        assert ["a"] == [entry["sibling"] for entry in logs if entry["event"] == "replica_lost"]


async def test_all_agree_on_a_key_an_order_and_a_clock(redis, shared_server):
    shared_server.flush()
    ahead = Replica("b", redis, clock=lambda: time.monotonic() + 3600.0)
    async with AsyncExitStack() as stack:
        (a,) = await started(stack, "a", redis=redis)
        b = await stack.enter_async_context(ahead.running())
        await until(lambda: [(0, 2), (1, 2)] == [replica.place[:2] for replica in (a, b)])
        await until(lambda: 0.0 not in (a.place[2], b.place[2]))

        assert a.key == b.key
        assert abs(time.time() - (time.monotonic() + a.place[2])) < 1.0
        assert abs(a.place[2] - b.place[2] - 3600.0) < 1.0


async def test_garbage_under_the_key_is_a_key_like_any_other(redis, shared_server):
    with shared_server.client() as stranger:
        stranger.set(PREFIX_KEY, b"garbage")
    async with AsyncExitStack() as stack:
        a, b = await started(stack, "a", "b", redis=redis)
        await until(lambda: 0.0 not in (a.place[2], b.place[2]))

        assert a.key == b.key


async def test_sharing_costs_messages_only_when_something_changed(redis):
    async with Replica("a", redis, interval_s=0.005).running() as a:
        await until(lambda: a.sharing.page()["messages"] >= 3)

        assert a.figure("forebay_sharing_delay_seconds_count") >= 1
        assert a.figure('forebay_sharing_messages_total{direction="sent"}') <= 5


async def test_what_is_urgent_does_not_wait_for_the_interval(redis):
    async with AsyncExitStack() as stack:
        a = Replica("a", redis, interval_s=3600.0)
        a.notes.waits = True
        await stack.enter_async_context(a.running())
        (b,) = await started(stack, "b", redis=redis)
        a.notes.put("p", 0)
        await until(lambda: b.notes.others.get("a") == {"p": 0})
        a.notes.put("p", 1)

        await until(lambda: b.notes.others["a"] == {"p": 1})


async def test_what_becomes_urgent_while_changes_are_held_back_is_told_at_once(redis):
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(Replica("a", redis, interval_s=3600.0).running())
        (b,) = await started(stack, "b", redis=redis)
        await all_know_each_other(a, b)
        for number in range(BURST + 1):  # the next is held back
            a.notes.put("p", number)
            await until(lambda: not a.notes.has_news)
        a.notes.waits = True
        a.notes.put("q", 1)

        await until(lambda: b.notes.others.get("a", {}).get("q") == 1, deadline_s=20.0)


async def test_after_an_urgent_time_the_others_are_told_as_before(redis):
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(Replica("a", redis, interval_s=0.2).running())
        (b,) = await started(stack, "b", redis=redis)
        await all_know_each_other(a, b)
        a.notes.waits = True
        for number in range(300):  # a minute's messages
            a.notes.put("p", number)
            await until(lambda: not a.notes.has_news, every_s=0.001)
        a.notes.waits = False
        await asyncio.sleep(EXPECTED_S)
        a.notes.put("q", 1)

        await until(lambda: b.notes.others["a"] == {"p": 299, "q": 1}, deadline_s=20.0)


async def test_the_delay_of_a_message_that_is_overtaken_by_its_successor_is_seen(redis):
    async with Replica("a", redis).running() as a:
        await until(lambda: a.figure("forebay_sharing_delay_seconds_count") >= 1)
        seen = "forebay_sharing_delay_seconds_count"
        unseen = a.sharing.page()["messages"] - a.figure(seen)
        for _ in range(3):  # all are on their way before the first is back
            a.sharing._is_due = True
            a.sharing._tell(time.monotonic())

        await until(lambda: a.sharing.page()["messages"] - a.figure(seen) <= unseen)


async def test_a_change_is_told_at_once_while_changes_are_few(server):
    async with AsyncExitStack() as stack:
        redis = RedisSettings(url=server.url)
        a, b = [await stack.enter_async_context(Replica(name, redis, interval_s=0.5).running()) for name in "ab"]
        await all_know_each_other(a, b)
        start_s = time.monotonic()
        for count in range(1, 9):
            a.notes.put("p", count)
            await until(lambda: b.notes.others == {"a": {"p": count}})  # noqa: B023 - awaited here

        assert time.monotonic() - start_s < 8 * 0.5 / 2  # looking for changes each interval takes twice that
