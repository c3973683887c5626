import orjson
import pytest

from forebay.doctor.engines import engines
from forebay.doctor.finding import Finding, State
from gateway.config.pools import PoolSettings
from gateway.config.settings import EndpointSettings, ModelSettings, Settings
from tests.support.metrics_pages import MetricsPages, metrics_pages
from tests.support.ports import free_port

VLLM = "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n"


def models(*names: str) -> bytes:
    return orjson.dumps({"data": [{"id": name} for name in names]})


async def look(pages: MetricsPages, **endpoint: str) -> Finding:
    settings = EndpointSettings(address=f"127.0.0.1:{pages.port}", name="pod-a", **endpoint)
    (finding,) = await engines(Settings(models=(ModelSettings(name="m", endpoints=(settings,)),)))
    return finding


async def test_an_engine_that_serves_its_model_and_tells_its_metrics_is_well():
    async with metrics_pages() as pages:
        pages.show("", "/health")
        pages.show(models("m"), "/v1/models")
        pages.show(VLLM)

        assert (State.OK, "engine pod-a", f"127.0.0.1:{pages.port} serves m", "") == await look(pages, engine="vllm")


@pytest.mark.parametrize(
    ("status", "served", "page", "state", "text"),
    [
        (500, models("m"), VLLM, State.PROBLEM, "/health answers 500"),
        (200, models("other"), VLLM, State.PROBLEM, "serves other, not m"),
        (200, models(), VLLM, State.PROBLEM, "serves nothing, not m"),
        (200, b"<html>", VLLM, State.NOTE, "/v1/models is no list of models"),
        (200, models("m"), "python_info 1", State.NOTE, "none of vllm (status 200)"),
    ],
)
async def test_what_is_wrong_with_an_engine_is_said(status: int, served: bytes, page: str, state: State, text: str):
    async with metrics_pages() as pages:
        pages.show("", "/health", status=status)
        pages.show(served, "/v1/models")
        pages.show(page)

        finding = await look(pages, engine="vllm")

    assert (state, "engine pod-a") == (finding.state, finding.subject)
    assert text in finding.text
    assert state is State.NOTE or finding.next_step


async def test_a_list_of_models_and_metrics_are_not_asked_of_every_server():
    async with metrics_pages() as pages:
        pages.show("", "/health")

        assert State.OK is (await look(pages, engine="other")).state


async def test_a_model_of_an_api_or_whose_engines_somebody_starts_needs_none():
    api = {"url": "https://api.example", "key_env": "KEY", "models": {"m": "m"}}
    pool = PoolSettings.model_validate({"name": "cloud", "priority": 1, "api": api})
    models = ModelSettings(name="m"), ModelSettings(name="n", scales_from_zero=True)

    assert [] == await engines(Settings(models=models, pools=(pool,)))


async def test_an_engine_that_is_away_and_a_model_without_one_are_problems():
    endpoint = EndpointSettings(address=f"127.0.0.1:{free_port()}")
    found = await engines(Settings(models=(ModelSettings(name="m", endpoints=(endpoint,)), ModelSettings(name="n"))))

    assert [State.PROBLEM, State.PROBLEM] == [finding.state for finding in found]
    assert "connection refused" in found[0].text
    assert "model n" == found[1].subject
