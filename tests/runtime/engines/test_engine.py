import pytest

from runtime.engines.calls import Calls, engine_client
from runtime.engines.engine import Engine
from runtime.errors import Problem
from tests.support.engines import an_engine
from tests.support.http_engine import HttpEngine
from tests.support.own_engine import own_engine


async def test_it_is_asked_for_health_models_and_metrics():
    async with an_engine() as (running, _), engine_client(running.url) as client:
        engine = Engine(Calls(client))
        await engine.check()
        listed, page = await engine.models(), await engine.metrics_page()

    assert ["tiny"] == [card["id"] for card in listed["data"]]
    assert "vllm:num_requests_running" in page


@pytest.mark.parametrize(("status", "passes"), [(200, True), (404, True), (401, True), (503, False)])
async def test_only_a_server_error_is_ill_health(status: int, passes: bool):
    async with HttpEngine(status) as server, engine_client(f"http://{server.address}") as client:
        engine = Engine(Calls(client))
        if passes:
            await engine.check()
            return
        with pytest.raises(Problem, match="answers 503 for /health") as caught:
            await engine.check()

    assert 503 == caught.value.status


async def test_a_list_of_models_that_is_none_is_a_502():
    async with HttpEngine(200) as server, engine_client(f"http://{server.address}") as client:
        with pytest.raises(Problem, match="is no list of models") as caught:
            await Engine(Calls(client)).models()

    assert 502 == caught.value.status


async def test_the_page_of_metrics_may_lie_elsewhere():
    async with HttpEngine(200) as server, engine_client(f"http://{server.address}") as client:
        await Engine(Calls(client), "/prometheus").metrics_page()

    assert [b"GET /prometheus HTTP/1.1"] == server.requests


async def test_another_engine_has_no_adapters_and_no_sleep():
    with own_engine() as server:
        async with engine_client(f"http://{server.address}") as client:
            engine = Engine(Calls(client)).speaking_for("Bearer x")
            for call in (engine.load_adapter("a", "/x"), engine.unload_adapter("a"), engine.sleep(1), engine.wake()):
                with pytest.raises(Problem, match="INFERENCE_ENGINE=openai") as caught:
                    await call
                assert 501 == caught.value.status

    assert [] == server.received
