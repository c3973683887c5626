import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from runtime.engines.calls import Calls, engine_client
from runtime.engines.engine import Engine
from runtime.engines.sglang import Sglang
from runtime.engines.vllm import Vllm
from runtime.errors import Problem
from runtime.phases import Phases
from simulator.serving.server import RunningEngine
from tests.support.engines import STOPPED, a_chat, an_engine, until_figure
from tests.support.http_engine import HttpEngine
from tests.support.own_engine import Reply, own_engine
from tests.support.polling import until
from tests.support.sglang_server import SglangServer
from tests.support.sidecar import AWAY, PAUSES_S

CHAT = "/v1/chat/completions"


@pytest.fixture
async def beside() -> AsyncIterator[tuple[Phases, RunningEngine]]:
    """The phases of a simulated engine that works on a request for ever."""
    async with (
        an_engine(speed=STOPPED) as (running, to_it),
        engine_client(running.url) as client,
        asyncio.TaskGroup() as tasks,
    ):
        request = tasks.create_task(to_it.post(CHAT, json=a_chat()))
        await until_figure(to_it, 1, "vllm:num_requests_running")
        yield Phases(Vllm(Calls(client, pauses_s=PAUSES_S)), time.monotonic), running
        request.cancel()


async def test_an_idle_engine_sleeps_and_wakes_once():
    async with an_engine() as (running, _), engine_client(running.url) as client:
        phases = Phases(Vllm(Calls(client)), time.monotonic)
        seen = [await phases.not_ready(), await phases.phase()]
        applied = [await phases.sleep(1, 5.0), await phases.sleep(1, 5.0)]
        asleep = await phases.not_ready(), await phases.phase()
        applied += [await phases.wake(), await phases.wake()]
        seen += [await phases.not_ready(), await phases.phase()]

    assert ["", "active", "", "active"] == seen
    assert ("the engine is sleeping; POST /v1/runtime/models/wake ends that", "sleeping") == asleep
    assert [True, False, True, False] == applied


async def test_an_engine_with_requests_stays_awake_and_is_wanted_again(beside: tuple[Phases, RunningEngine]):
    phases, running = beside

    with pytest.raises(Problem, match="still has 1 requests") as caught:
        await phases.sleep(1, 0.0)

    assert (409, "active", 0) == (caught.value.status, await phases.phase(), running.engine.state.sleep_level)


async def _is_draining(phases: Phases) -> bool:
    return (await phases.not_ready()).startswith("the engine is draining")


async def test_a_drain_ends_when_the_last_request_does():
    async with an_engine(speed=STOPPED) as (running, to_it), engine_client(running.url) as client:
        phases = Phases(Vllm(Calls(client)), time.monotonic)
        request = asyncio.create_task(to_it.post(CHAT, json=a_chat()))
        await until_figure(to_it, 1, "vllm:num_requests_running")
        draining = asyncio.create_task(phases.drain(60.0))
        await until(lambda: _is_draining(phases))
        await to_it.post("/sim/speed", json={"tokens_per_s": 1000})

        assert (0, 200) == (await draining, (await request).status_code)
        assert "draining" == await phases.phase()
        assert True is await phases.wake()
        assert "" == await phases.not_ready()


async def test_what_runs_at_the_limit_of_a_drain_is_told(beside: tuple[Phases, RunningEngine]):
    assert 1 == await beside[0].drain(0.0)


async def test_an_engine_that_tells_no_requests_cannot_be_drained():
    with own_engine() as engine:
        async with engine_client(f"http://{engine.address}") as client:
            with pytest.raises(Problem, match="does not tell how many requests") as caught:
                await Phases(Vllm(Calls(client)), time.monotonic).drain(1.0)

    assert 501 == caught.value.status


async def test_an_engine_that_does_not_tell_sleeps_as_long_as_it_was_put_to_sleep():
    server = SglangServer()
    async with server.client() as client:
        phases = Phases(Sglang(Calls(client, pauses_s=PAUSES_S)), time.monotonic)
        seen = [await phases.phase()]
        await phases.sleep(2, 1.0)
        seen.append(await phases.phase())
        await phases.wake()

        assert ["active", "sleeping", "active"] == [*seen, await phases.phase()]


async def test_an_engine_that_is_away_or_late_is_not_ready():
    async with engine_client(AWAY) as client:
        away = await Phases(Engine(Calls(client)), time.monotonic).not_ready()
    async with HttpEngine(None) as server, engine_client(f"http://{server.address}") as client:
        late = await Phases(Engine(Calls(client)), time.monotonic).not_ready()

    assert away.startswith("the engine at http://127.0.0.1:1 is away")
    assert "did not answer" in late


@pytest.mark.parametrize(
    ("models", "reason"),
    [
        (Reply(body=b'{"object":"list","data":[]}'), "the engine has loaded no model yet"),
        (Reply(401, b'{"error":"Unauthorized"}'), "Unauthorized"),
        (Reply(body=b"<html>"), "the engine's /v1/models is no list of models"),
        (Reply(body=b'{"object":"list","data":[{"id":"m"}]}'), ""),
    ],
)
async def test_an_engine_is_ready_with_a_model(models: Reply, reason: str):
    with own_engine() as engine:
        engine.answer = lambda _: Reply(404)
        engine.models = models
        async with engine_client(f"http://{engine.address}") as client:
            assert reason == await Phases(Engine(Calls(client)), time.monotonic).not_ready()
