"""Redis and a Redis Cluster give replicas channels, a clock and a key."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import RedisError

from gateway.config.settings import RedisSettings
from gateway.observability.metrics import Metrics
from gateway.sharing.channels import Channels, Message, Subscription
from gateway.sharing.messages import Letter, Share, encode
from ratelimit.limits import LimiterUnavailableError
from tests.support.redis import redis_server
from tests.support.redis_cluster import redis_cluster

NAMES = ("a", "b")


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


async def test_a_redis_that_is_not_there_raises_at_once():
    async with channels(RedisSettings(url="unix:///nonexistent/redis.sock"), "a") as a:
        with pytest.raises(LimiterUnavailableError, match="nonexistent"):
            await a.tell(Share("a", 1))
        with pytest.raises(RedisError, match="nonexistent"):
            async with asyncio.timeout(10), a.subscribed():
                pass
