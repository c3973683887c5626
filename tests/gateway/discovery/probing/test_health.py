"""Health checks, over real sockets and with probes that fail in chosen ways."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from structlog.testing import capture_logs

from gateway.config.settings import HealthSettings
from gateway.discovery.probing.health import HealthChecker, HttpProbe, Probe, UnhealthyError
from gateway.discovery.probing.rounds import CONCURRENCY
from gateway.fleet.pod import PodState
from tests.support.http_engine import HttpEngine
from tests.support.pods import a_fleet, an_endpoint

PATIENCE_S = 20
QUICK = HealthSettings(interval_s=0.01, timeout_s=PATIENCE_S)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  the condition is read from the outside; nothing sets an event for it
            await asyncio.sleep(0.002)


@asynccontextmanager
async def running(checker: HealthChecker) -> AsyncIterator[None]:
    task = asyncio.create_task(checker.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Reports:
    """Takes health reports as a fleet does."""

    def __init__(self) -> None:
        self.health: dict[str, bool] = {}
        self.count: Counter[str] = Counter()

    def __call__(self, pod: str, healthy: bool) -> bool:
        changed = self.health.get(pod, True) != healthy
        self.health[pod] = healthy
        self.count[pod] += 1
        return changed


def a_checker(probe: Probe, reports: Reports, settings: HealthSettings = QUICK) -> HealthChecker:
    return HealthChecker(settings, probe, reports, random.Random(1))


async def succeed(address: str) -> None:
    """A probe that finds every engine well."""


@pytest.mark.parametrize("status", [200, 204, 404, 405])
async def test_an_engine_that_answers_below_500_is_healthy(status: int) -> None:
    async with HttpEngine(status) as engine:
        await HttpProbe("/health")(engine.address)

    assert engine.requests == [b"GET /health HTTP/1.1"]


@pytest.mark.parametrize("status", [500, 503])
async def test_an_engine_that_answers_with_a_server_error_is_not(status: int) -> None:
    async with HttpEngine(status) as engine:
        with pytest.raises(UnhealthyError, match=f"status {status}"):
            await HttpProbe("/health")(engine.address)


async def test_an_engine_that_does_not_listen_is_not_healthy() -> None:
    async with HttpEngine() as engine:
        pass

    with pytest.raises(ConnectionRefusedError):
        await HttpProbe("/health")(engine.address)


async def test_the_body_of_an_answer_is_not_waited_for() -> None:
    async with HttpEngine(200, content_length=1_000_000) as engine:
        async with asyncio.timeout(PATIENCE_S):
            await HttpProbe("/health")(engine.address)


async def test_a_proxy_in_the_environment_does_not_see_health_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    async with HttpEngine() as proxy, HttpEngine() as engine:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        await HttpProbe("/health")(engine.address)

    assert (len(proxy.requests), len(engine.requests)) == (0, 1)


async def test_a_fleet_follows_its_engines_down_and_up_again() -> None:
    async with HttpEngine(200) as good, HttpEngine(503) as bad:
        endpoints = [an_endpoint("good", address=good.address), an_endpoint("bad", address=bad.address)]
        fleet = a_fleet(*endpoints)
        checker = HealthChecker(QUICK, HttpProbe("/health"), fleet.set_health, random.Random(1))
        checker.replace(endpoints)

        def states() -> dict[str, PodState]:
            return {pod.endpoint.id: pod.state for pod in fleet.pods()}

        async with running(checker):
            await until(lambda: states() == {"good": PodState.READY, "bad": PodState.UNHEALTHY})
            bad.status = 200
            await until(lambda: states() == {"good": PodState.READY, "bad": PodState.READY})


async def test_an_engine_that_never_answers_fails_by_timeout() -> None:
    reports = Reports()
    async with HttpEngine(None) as engine:
        checker = a_checker(HttpProbe("/health"), reports, HealthSettings(interval_s=0.01, timeout_s=0.05))
        checker.replace([an_endpoint("a", address=engine.address)])
        with capture_logs() as logs:
            async with running(checker):
                await until(lambda: reports.health == {"a": False})

    assert [entry["why"] for entry in logs] == ["TimeoutError"]


async def test_an_engine_that_hangs_delays_nobody_and_has_one_check_open() -> None:
    reports = Reports()
    probed: Counter[str] = Counter()

    async def probe(address: str) -> None:
        probed[address] += 1
        if address == "10.0.0.9:1":
            await asyncio.Event().wait()

    checker = a_checker(probe, reports)
    checker.replace([an_endpoint("hangs", address="10.0.0.9:1"), an_endpoint("well", address="10.0.0.8:1")])
    async with running(checker):
        await until(lambda: reports.count["well"] >= 10)

    assert probed["10.0.0.9:1"] == 1


async def test_no_more_checks_run_at_once_than_allowed_and_all_get_their_turn() -> None:
    reports, go, open_now, most_open = Reports(), asyncio.Event(), 0, 0

    async def probe(address: str) -> None:
        nonlocal open_now, most_open
        open_now += 1
        most_open = max(most_open, open_now)
        await go.wait()
        open_now -= 1

    endpoints = [an_endpoint(f"p{i}") for i in range(CONCURRENCY + 50)]
    checker = a_checker(probe, reports)
    checker.replace(endpoints)
    async with running(checker):
        await until(lambda: open_now == CONCURRENCY)
        go.set()
        await until(lambda: len(reports.health) == len(endpoints))

    assert most_open == CONCURRENCY


async def test_a_change_is_logged_once_with_its_reason() -> None:
    reports, failing = Reports(), True

    async def probe(address: str) -> None:
        if failing:
            raise UnhealthyError("status 503")

    checker = a_checker(probe, reports)
    checker.replace([an_endpoint("a", address="10.0.0.1:80")])
    with capture_logs() as logs:
        async with running(checker):
            await until(lambda: reports.count["a"] >= 5)
            failing = False
            await until(lambda: reports.health["a"])
            await until(lambda: reports.count["a"] >= 10)

    fields = {"pod": "a", "address": "10.0.0.1:80"}
    assert logs == [
        {"event": "endpoint_unhealthy", "log_level": "warning", "why": "UnhealthyError status 503", **fields},
        {"event": "endpoint_healthy", "log_level": "info", **fields},
    ]


async def test_endpoints_that_come_later_are_checked_without_waiting_for_the_interval() -> None:
    reports = Reports()
    checker = a_checker(succeed, reports, HealthSettings(interval_s=3600))
    async with running(checker):
        checker.replace([an_endpoint("a")])
        await until(lambda: reports.count["a"] == 1)
        checker.replace([an_endpoint("a"), an_endpoint("b")])
        await until(lambda: reports.count["b"] == 1)

    assert reports.count == {"a": 1, "b": 1}


async def test_a_probe_that_breaks_is_a_failed_check_and_not_the_end_of_checking() -> None:
    reports = Reports()

    async def probe(address: str) -> None:
        raise ZeroDivisionError

    checker = a_checker(probe, reports)
    checker.replace([an_endpoint("a")])
    async with running(checker):
        await until(lambda: reports.count["a"] >= 3)

    assert reports.health == {"a": False}
