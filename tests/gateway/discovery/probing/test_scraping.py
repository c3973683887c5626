"""Asking engines for their metrics, over real sockets."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from gateway.config.settings import ScrapeSettings
from gateway.discovery.probing.http_get import AnswerError
from gateway.discovery.probing.readings import Readings
from gateway.discovery.probing.scraping import (
    IDLE_AFTER_S,
    IDLE_STRETCH,
    MAX_PAGE_BYTES,
    HttpFetch,
    NoPageError,
    Poller,
)
from routing.types import Signal
from tests.support.backend import Exchange, running_backend
from tests.support.http_engine import HttpEngine
from tests.support.pods import an_endpoint
from tests.support.polling import until

PAGE = b"vllm:num_requests_running 3\n"
PLACES = {0: "slow", 500: "dead"}


@asynccontextmanager
async def an_engine(answer: bytes, path: str = "") -> AsyncIterator[str]:
    """Gives this answer to everybody, or to those who ask for the path; yields its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer if path.encode() in asked.split()[1] else b"HTTP/1.1 404 Not Found\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"


async def test_the_page_is_the_body_of_a_200() -> None:
    async with an_engine(b"HTTP/1.1 200 OK\r\ncontent-length: 28\r\n\r\n" + PAGE) as address:
        assert await HttpFetch("/metrics")(address) == PAGE


async def test_an_engine_that_keeps_the_connection_open_is_not_silent() -> None:
    """A server that does not honour `connection: close` is waited for no longer than its page lasts."""
    read: list[Readings] = []

    async def page(exchange: Exchange) -> None:
        await exchange.reply(PAGE)

    async with running_backend(page) as engine:
        settings = ScrapeSettings(interval_s=0.05, timeout_s=30)
        poller = Poller(
            settings, HttpFetch("/metrics"), lambda _, readings, *__: read.append(readings), random.Random(1)
        )
        poller.replace([an_endpoint("a", address=engine.address)])
        task = asyncio.create_task(poller.run())
        await until(lambda: len(read) >= 2)
        task.cancel()

    assert read[0].signals == {Signal.RUNNING: 3.0}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", NoPageError("status 404")),
        (b"", AnswerError("the connection ended before the answer")),
        (b"nonsense", AnswerError("malformed: Expected HTTP/, RTSP/ or ICE/")),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * MAX_PAGE_BYTES, AnswerError(f"more than {MAX_PAGE_BYTES} bytes")),
    ],
    ids=["another status", "nothing", "no HTTP", "too long"],
)
async def test_anything_else_is_no_page(answer: bytes, error: Exception) -> None:
    async with an_engine(answer) as address:
        with pytest.raises(type(error), match=f"^{error}$"):
            await HttpFetch("/metrics")(address)


async def test_metrics_may_have_a_place_of_their_own() -> None:
    read: list[str] = []
    async with (
        an_engine(b"HTTP/1.1 200 OK\r\n\r\n" + PAGE, path="/its/own") as own,
        an_engine(b"HTTP/1.1 200 OK\r\n\r\n" + PAGE, path="/usual") as usual,
    ):
        poller = Poller(
            ScrapeSettings(interval_s=0.05), HttpFetch("/usual"), lambda pod, *_: read.append(pod), random.Random(1)
        )
        poller.replace([an_endpoint("own", metrics=f"{own}/its/own"), an_endpoint("port", metrics=usual)])
        task = asyncio.create_task(poller.run())
        await until(lambda: {"own", "port"} <= set(read))
        task.cancel()


async def test_every_engine_is_read_and_one_that_hangs_delays_nobody() -> None:
    read: dict[str, tuple[Readings, float]] = {}

    def report(pod: str, readings: Readings, asked_s: float, fresh_until_s: float) -> None:
        assert fresh_until_s == asked_s + settings.stale_after_s
        read[pod] = (readings, fresh_until_s)

    settings = ScrapeSettings(interval_s=0.05, timeout_s=5.0, stale_after_s=3.0)
    poller = Poller(settings, HttpFetch("/metrics"), report, random.Random(1))
    async with HttpEngine(status=None) as hanging, an_engine(b"HTTP/1.1 200 OK\r\n\r\n" + PAGE) as address:
        poller.replace([an_endpoint("slow", address=hanging.address), an_endpoint("quick", address=address)])
        task = asyncio.create_task(poller.run())
        started_s = asyncio.get_running_loop().time()
        await until(lambda: "quick" in read)
        first = read["quick"][1]
        await until(lambda: read["quick"][1] > first)
        task.cancel()

    assert read["quick"][0].signals == {Signal.RUNNING: 3.0}
    assert first >= started_s + settings.stale_after_s
    assert "slow" not in read


async def test_among_a_thousand_engines_a_slow_and_a_dead_one_delay_nobody() -> None:
    read: Counter[str] = Counter()
    waits = []

    async def fetch(page: str) -> bytes:
        if page == "slow":
            waits.append(page)
            await asyncio.Event().wait()
        if page == "dead":
            raise ConnectionRefusedError
        return PAGE

    settings = ScrapeSettings(interval_s=0.2, timeout_s=3600)
    poller = Poller(settings, fetch, lambda pod, *_: read.update([pod]), random.Random(1))
    poller.replace(an_endpoint(str(number), metrics=PLACES.get(number, "fine")) for number in range(1000))
    task = asyncio.create_task(poller.run())
    with capture_logs() as logs:
        await until(lambda: len(read) == 998 and min(read.values()) >= 3)
        task.cancel()

    assert waits == ["slow"]  # asked once, and no more while it has not answered
    assert [line["pod"] for line in logs] == ["500"]
    assert not {"0", "500"} & read.keys()


async def test_an_engine_that_left_while_it_was_asked_is_not_reported() -> None:
    asked, answer, read = asyncio.Event(), asyncio.Event(), []

    async def fetch(_address: str) -> bytes:
        asked.set()
        await answer.wait()
        return PAGE

    poller = Poller(ScrapeSettings(), fetch, lambda *reading: read.append(reading), random.Random(1))
    poller.replace([an_endpoint("a")])
    task = asyncio.create_task(poller.run())
    await asked.wait()
    poller.replace([])
    answer.set()
    await until(lambda: len(asyncio.all_tasks()) == 2)  # this test and the poller
    task.cancel()

    assert read == []


async def test_idle_engines_are_scraped_rarely_until_one_is_busy() -> None:
    read: list[tuple[float, float]] = []
    busy = [False]

    async def fetch(_address: str) -> bytes:
        return PAGE

    settings = ScrapeSettings(interval_s=2.0, stale_after_s=7.0)
    poller = Poller(
        settings, fetch, lambda _pod, _readings, *times: read.append(times), random.Random(1), lambda: busy[0]
    )
    poller.replace([an_endpoint("a")])
    target = poller._schedule.due(asyncio.get_running_loop().time())[0]
    now_s = asyncio.get_running_loop().time()

    poller.look(now_s)
    await poller.ask(target)
    poller.look(now_s + IDLE_AFTER_S + 1)
    await poller.ask(target)
    busy[0] = True
    poller.look(now_s + IDLE_AFTER_S + 2)
    await poller.ask(target)

    fresh_s = [fresh_until_s - asked_s for asked_s, fresh_until_s in read]
    assert fresh_s == pytest.approx([7.0, 7.0 + (IDLE_STRETCH - 1) * 2.0, 7.0])
