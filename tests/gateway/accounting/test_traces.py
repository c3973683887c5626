import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from gateway.accounting.traces import KEPT_WINDOWS, RETRY_S, Traces
from gateway.observability.metrics import Metrics
from tests.support.polling import until
from tests.support.redis import RedisServer, redis_server
from traffic.connection import Connection
from traffic.counts import Counts
from traffic.store import TraceStore
from traffic.window import WINDOW_S, Window

TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    shared_server.flush()
    return shared_server


class Redis(Connection):
    """A Redis whose clock a test can put forward."""

    ahead_s = 0.0

    async def now_s(self) -> float:
        return await super().now_s() + self.ahead_s


class Gateway:
    """One worker's counts and traces.  Its clock is `own_s`; `pass_s` lets time pass for it and for its Redis."""

    def __init__(self, server: RedisServer, name: str, own_s: float, ahead_s: float) -> None:
        self.server = server
        self.redis = Redis(server.url, TIMEOUT_S)
        self.redis.ahead_s = ahead_s
        self.counts = Counts()
        self.counts.follow({"m": "m"})
        self.metrics = Metrics(())
        self.own_s = own_s
        self.store = TraceStore(self.redis, name)
        self.traces = Traces(
            self.counts, self.store, lambda: {"m": 3}, lambda: {"m": 2}, metrics=self.metrics, clock=lambda: self.own_s
        )

    def pass_s(self, seconds: float) -> None:
        self.own_s += seconds
        self.redis.ahead_s += seconds

    async def pass_window(self) -> None:
        self.pass_s(WINDOW_S)
        await self.traces.turn()

    async def windows(self, *, late_s: float = 3 * WINDOW_S) -> list[Window]:
        """Read what planners do, a while later."""
        reader = Redis(self.server.url, TIMEOUT_S)
        reader.ahead_s = self.redis.ahead_s + late_s
        try:
            return await TraceStore(reader).read("m")
        finally:
            await reader.aclose()

    def reports(self, outcome: str) -> float:
        page = self.metrics.render().decode()
        lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if line[0] != "#")
        return float(lines.get(f'forebay_traffic_reports_total{{outcome="{outcome}"}}', 0))


def to_second(server: RedisServer, second: float) -> float:
    """How far a clock must be ahead of Redis's to be at this second of a window."""
    now_s, microseconds = server.own_client.time()
    return (second - now_s - microseconds / 1e6) % WINDOW_S


@asynccontextmanager
async def a_gateway(
    server: RedisServer, name: str = "a", own_s: float = 1_000.0, ahead_s: float | None = None
) -> AsyncIterator[Gateway]:
    """A gateway whose Redis's clock is at the second second of a window, so that none ends while a test runs."""
    gateway = Gateway(server, name, own_s, to_second(server, 2.0) if ahead_s is None else ahead_s)
    try:
        yield gateway
    finally:
        await gateway.redis.aclose()


async def test_a_window_is_written_when_it_has_ended(server: RedisServer):
    async with a_gateway(server) as gateway:
        assert 0 < await gateway.traces.turn() <= WINDOW_S
        gateway.counts.arrive("m", 256)
        gateway.counts.complete("m", 256, 128)
        assert [] == await gateway.windows()
        await gateway.pass_window()

        (window,) = await gateway.windows()
        assert (1, {80: 1}, {(80, 70): 1}, 3, 2) == (
            window.arrivals, window.arrived_inputs, window.completed, window.in_flight, window.queued
        )  # fmt: skip
        assert (0, 1) == (window.starts_at_s % WINDOW_S, gateway.reports("written"))


async def test_idle_models_are_written_so_that_silence_is_no_idleness(server: RedisServer):
    async with a_gateway(server) as gateway:
        await gateway.traces.turn()
        await gateway.pass_window()
        await gateway.pass_window()

        windows = await gateway.windows()
        assert ([0, 0], WINDOW_S) == (
            [window.arrivals for window in windows],
            windows[1].starts_at_s - windows[0].starts_at_s,
        )


async def test_gateways_whose_clocks_are_an_hour_apart_write_one_key(server: RedisServer):
    ahead_s = to_second(server, 2.0)
    async with (
        a_gateway(server, "a", 1_000.0, ahead_s) as one,
        a_gateway(server, "b", 4_600.0, ahead_s) as other,
    ):
        for gateway in (one, other):
            await gateway.traces.turn()
            gateway.counts.arrive("m", 256)
        for gateway in (one, other):
            await gateway.traces.close()

        (window,) = await one.windows()
        assert (2, 2, 6) == (window.arrivals, window.writers, window.in_flight)


async def test_the_rest_is_written_at_the_end_into_the_window_that_runs(server: RedisServer):
    async with a_gateway(server) as gateway:
        await gateway.traces.turn()
        gateway.counts.arrive("m", 1)
        await gateway.traces.close()

        (window,) = await gateway.windows()
        assert (1, await gateway.redis.now_s() // WINDOW_S * WINDOW_S) == (window.arrivals, window.starts_at_s)


async def test_a_clock_that_shows_that_the_window_ended_early_begins_no_other(server: RedisServer):
    async with a_gateway(server) as gateway:
        left_s = await gateway.traces.turn()
        gateway.pass_s(left_s + 0.05)
        gateway.redis.ahead_s -= 0.1  # 0.05 s before the end

        assert WINDOW_S < await gateway.traces.turn() < WINDOW_S + 1


async def test_a_clock_that_shows_that_the_window_has_ended_skips_none(server: RedisServer):
    async with a_gateway(server) as gateway:
        left_s = await gateway.traces.turn()
        gateway.counts.arrive("m", 1)
        gateway.pass_s(left_s - 0.05)
        gateway.redis.ahead_s += 0.1  # a moment ago it has not ended, and by Redis's clock it has

        assert 0 == await gateway.traces.turn()
        assert 0 < await gateway.traces.turn() <= WINDOW_S
        assert [1] == [window.arrivals for window in await gateway.windows()]


async def test_a_clock_that_was_set_back_adds_to_windows_that_were_written(server: RedisServer):
    async with a_gateway(server) as gateway:
        await gateway.traces.turn()
        gateway.counts.arrive("m", 1)
        await gateway.pass_window()
        gateway.redis.ahead_s -= WINDOW_S
        await gateway.traces.turn()
        gateway.counts.arrive("m", 1)
        await gateway.pass_window()

        assert 2 == sum(window.arrivals for window in await gateway.windows())


async def test_while_redis_is_away_windows_are_kept_and_the_oldest_dropped():
    with redis_server() as server:
        async with a_gateway(server) as gateway:
            await gateway.traces.turn()
            server.kill()
            for arrivals in range(1, KEPT_WINDOWS + 3):
                for _ in range(arrivals):
                    gateway.counts.arrive("m", 1)
                gateway.own_s += WINDOW_S
                assert 0 < await gateway.traces.turn() <= RETRY_S
            gateway.redis.ahead_s += (KEPT_WINDOWS + 2) * WINDOW_S
            server.start()
            await gateway.traces.turn()

            kept = [window.arrivals for window in await gateway.windows()]
            assert list(range(3, KEPT_WINDOWS + 3)) == kept
            assert (KEPT_WINDOWS, 2) == (gateway.reports("written"), gateway.reports("dropped"))


async def test_a_report_of_which_the_answer_was_lost_counts_once(server: RedisServer):
    class Lossy(TraceStore):
        loses = True

        async def write(self, model: str, window: Window, number: int) -> None:
            await super().write(model, window, number)
            if self.loses:
                self.loses = False
                raise asyncio.CancelledError

    async with a_gateway(server) as gateway:
        store = Lossy(gateway.redis, "a")
        traces = Traces(
            gateway.counts, store, dict[str, int], dict[str, int], metrics=gateway.metrics, clock=lambda: gateway.own_s
        )
        await traces.turn()
        gateway.counts.arrive("m", 1)
        gateway.pass_s(WINDOW_S)
        with pytest.raises(asyncio.CancelledError):
            await traces.turn()
        await traces.close()

        assert 1 == sum(window.arrivals for window in await gateway.windows())


async def test_what_was_counted_long_before_redis_was_there_is_dropped():
    with redis_server() as server:
        ahead_s = to_second(server, 2.0)
        server.kill()
        async with a_gateway(server, ahead_s=ahead_s) as gateway:
            gateway.counts.arrive("m", 1)
            for _ in range(3):
                assert RETRY_S == await gateway.traces.turn()
                gateway.own_s += WINDOW_S
            server.start()
            await gateway.traces.turn()
            await gateway.pass_window()

            assert [0] == [window.arrivals for window in await gateway.windows()]
            assert 1 == gateway.reports("dropped")


async def test_the_loop_writes_when_the_window_has_ended(server: RedisServer):
    async with a_gateway(server, own_s=time.monotonic(), ahead_s=to_second(server, 9.5)) as gateway:
        traces = Traces(
            gateway.counts, gateway.store, dict[str, int], dict[str, int], metrics=gateway.metrics, clock=time.monotonic
        )
        gateway.counts.arrive("m", 1)
        task = asyncio.create_task(traces.run())
        await until(gateway.windows)
        task.cancel()

        assert 1 == sum(window.arrivals for window in await gateway.windows())
