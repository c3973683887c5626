import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvloop

from ratelimit.redis import tracking as tracking_module
from ratelimit.redis.tracking import Tracking
from tests.support.polling import until
from tests.support.redis import RedisServer


@asynccontextmanager
async def a_tracking(server: RedisServer, told: list[str | None]) -> AsyncIterator[Tracking]:
    tracking = Tracking(server.url, 5.0, "aibrix-users/", told.append)
    await tracking.keep()
    await until(lambda: tracking.up)
    try:
        yield tracking
    finally:
        await tracking.aclose()


def write(server: RedisServer, *keys: str) -> None:
    with server.client() as client:
        for key in keys:
            client.set(key, "x")


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_every_change_under_the_prefix_is_told_and_visible_before_it_is_read(server, loop):
    told: list[str | None] = []

    async def listen() -> None:
        async with a_tracking(server, told) as tracking:
            assert tracking.is_quiet()
            before = tracking.changes
            write(server, "aibrix-users/ü", "forebay:other")
            assert not tracking.is_quiet()
            await until(tracking.is_quiet)
            server.flush()
            await until(lambda: len(told) == 2)
            assert 2 == tracking.changes - before

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(listen())
    assert ["ü", None] == told[:2]


async def test_who_does_not_answer_is_not_believed(mortal_server, monkeypatch):
    monkeypatch.setattr(tracking_module, "SILENT_S", 0.3)
    async with a_tracking(mortal_server, []) as tracking:
        mortal_server.pause()
        await tracking.keep()
        await until(lambda: not tracking.up)
        assert not tracking.is_quiet()
        mortal_server.resume()
        await until(lambda: tracking.up)


async def test_a_lost_connection_is_news_about_everybody_and_is_made_again(mortal_server):
    told: list[str | None] = []
    async with a_tracking(mortal_server, told) as tracking:
        mortal_server.kill()
        await until(lambda: told == [None])
        await tracking.keep()
        assert not tracking.up
        mortal_server.start()

        await tracking.keep()

        await until(lambda: tracking.up)
        write(mortal_server, "aibrix-users/u")
        await until(lambda: told[-1] == "u")


async def test_a_cancellation_while_connecting_is_obeyed(server):
    for steps in range(40):
        tracking = Tracking(server.url, 5.0, "aibrix-users/", [].append)
        keeping = asyncio.create_task(tracking.keep())
        for _ in range(steps):
            await asyncio.sleep(0)
        was_done = keeping.done()
        keeping.cancel()
        (outcome,) = await asyncio.gather(keeping, return_exceptions=True)
        await tracking.aclose()

        assert isinstance(outcome, asyncio.CancelledError) or was_done
