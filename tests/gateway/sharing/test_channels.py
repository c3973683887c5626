"""Redis and a Redis Cluster give replicas channels, a clock and a key."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from gateway.config.settings import RedisSettings
from gateway.observability.metrics import Metrics
from gateway.sharing.channels import Channels, Message, Subscription
from gateway.sharing.messages import Letter, Share, encode
from ratelimit.limits import LimiterUnavailableError
from tests.support.redis import redis_server
from tests.support.redis_cluster import redis_cluster

ACL = "ACL SETUSER {} on >secret ~aibrix-users/* ~forebay:* {} +@all -@dangerous"
"""As docs/operations.md says."""


@pytest.fixture(scope="module", params=["server", "cluster"])
def settings(request: pytest.FixtureRequest) -> Iterator[RedisSettings]:
    if request.param == "server":
        with redis_server() as server:
            yield RedisSettings(url=server.url)
    else:
        with redis_cluster() as cluster:
            yield RedisSettings(url=cluster.url, cluster=True)


@asynccontextmanager
async def channels(settings: RedisSettings, name: str) -> AsyncIterator[Channels]:
    made = Channels(settings, name, Metrics(()))
    yield made
    await made.aclose()


async def heard(subscription: Subscription) -> Message:
    message = await subscription.next(20.0)
    assert message is not None
    return message


async def test_all_hear_what_one_tells_and_one_hears_its_letters(settings):
    share = Share("a", 1)
    async with (
        channels(settings, "a") as a,
        channels(settings, "b") as b,
        a.subscribed() as at_a,
        b.subscribed() as at_b,
    ):
        await a.tell(share)
        assert [Message(False, encode(share))] * 2 == [await heard(at_a), await heard(at_b)]

        await a.write("b", "greeting", b"hello")
        assert Message(True, encode(Letter("greeting", "a", b"hello"))) == await heard(at_b)
        assert await at_a.next(0.05) is None


async def test_the_first_key_is_everybodys(settings):
    async with channels(settings, "a") as a, channels(settings, "b") as b:
        ours, _ = await a.agree(b"first")

        assert (b"first", b"first") == (ours, (await b.agree(b"second"))[0])


async def test_the_clock_is_that_of_redis(settings):
    async with channels(settings, "a") as a:
        before = time.time()
        _, now_s = await a.agree(b"")

        assert before - 0.001 <= now_s <= time.time() + 0.001


async def test_one_that_does_not_read_is_cut_off_and_may_subscribe_anew():
    with redis_server() as server:
        server.own_client.config_set("client-output-buffer-limit", "pubsub 65536 0 0")
        async with channels(RedisSettings(url=server.url), "a") as a:
            async with a.subscribed() as deaf:
                await heard_itself(a, deaf)
                for _ in range(100):  # more than sockets and asyncio hold
                    await a.write("a", "greeting", bytes(65_536))
                with pytest.raises(RedisError):
                    while await deaf.next(20.0):
                        pass
            async with a.subscribed() as again:
                await heard_itself(a, again)


async def heard_itself(channels: Channels, subscription: Subscription) -> None:
    await channels.tell(Share("a", 1))
    assert Message(False, encode(Share("a", 1))) == await heard(subscription)


async def test_a_redis_user_needs_the_keys_and_the_channels():
    with redis_server() as server:
        server.own_client.execute_command(*ACL.format("forebay", "resetchannels &forebay:*").split())
        server.own_client.execute_command(*ACL.format("deaf", "resetchannels").split())
        url = server.url.removeprefix("unix://")
        async with channels(RedisSettings(url=f"unix://forebay:secret@{url}"), "a") as a, a.subscribed() as at_a:
            await heard_itself(a, at_a)
            assert b"ours" == (await a.agree(b"ours"))[0]
        async with channels(RedisSettings(url=f"unix://deaf:secret@{url}"), "a") as deaf:
            with pytest.raises(LimiterUnavailableError, match="channel"):
                await deaf.tell(Share("a", 1))
            with pytest.raises(RedisError, match="permission"):
                async with deaf.subscribed():
                    pass


async def test_a_redis_that_is_not_there_raises_at_once():
    async with channels(RedisSettings(url="unix:///nonexistent/redis.sock"), "a") as a:
        with pytest.raises(LimiterUnavailableError, match="nonexistent"):
            await a.tell(Share("a", 1))
        with pytest.raises(RedisError, match="nonexistent"):
            async with asyncio.timeout(10), a.subscribed():
                pass


@pytest.mark.parametrize("reply", [b"", b"+OK\r\n"], ids=["nothing", "greetings only"])
async def test_a_redis_that_falls_silent_while_it_is_subscribed_to_raises(tmp_path: Path, reply: bytes):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while sent := await reader.read(65_536):
            writer.write(reply * sent.count(b"SETINFO"))
        writer.close()

    async with (
        await asyncio.start_unix_server(answer, tmp_path / "redis.sock"),
        channels(RedisSettings(url=f"unix://{tmp_path}/redis.sock", timeout_s=0.2), "a") as a,
    ):
        with pytest.raises((RedisError, OSError), match=r"(?i)timeout|no answer"):
            async with asyncio.timeout(10), a.subscribed():
                pass


@pytest.mark.parametrize("turns", range(0, 60, 3))
async def test_hearing_ends_whenever_it_is_cancelled(settings, turns: int):
    async with channels(settings, "a") as a:

        async def hear() -> None:
            async with a.subscribed() as subscription:
                while True:
                    await subscription.next(0.05)

        hearing = asyncio.create_task(hear())
        for _ in range(turns):
            await asyncio.sleep(0)
        hearing.cancel()
        done, _ = await asyncio.wait({hearing}, timeout=20.0)

    assert {hearing} == done
