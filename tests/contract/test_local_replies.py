"""An answer of another filter of the proxy's passes through the gateway whole, in every body mode: real Envoy."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway.discovery.models import describe
from gateway.envoy.config import render
from tests.support.envoy import running_envoy, settings_for
from tests.support.redis import redis_server
from tests.support.running_worker import running_worker

MODES = [
    ("BUFFERED", "STREAMED"),
    ("BUFFERED", "FULL_DUPLEX_STREAMED"),
    ("FULL_DUPLEX_STREAMED", "STREAMED"),
    ("FULL_DUPLEX_STREAMED", "FULL_DUPLEX_STREAMED"),
]
WORKER = {
    "response_mode": "ext_proc",
    "models": [{"name": "m", "endpoints": [{"address": "127.0.0.1:9", "name": "a"}]}],
    "health": {"interval_s": 3600},
}


@pytest.fixture(
    params=[("grpc", MODES[-1], "before"), *itertools.product(("http2",), MODES, ("before", "after"))], ids=str
)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """Envoy with a filter that answers every request, before or after ours."""
    transport, (request_mode, response_mode), place = request.param
    with (
        redis_server() as redis,
        running_worker(tmp_path, redis.url, {"transport": transport, **WORKER}) as worker,
    ):
        settings = settings_for([worker.grpc], {"m": {"a": "127.0.0.1:9"}}, response_mode="ext_proc")
        bootstrap = render(settings, describe(settings.models))
        manager = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        ours = manager["http_filters"][0]["typed_config"]
        ours["processing_mode"] |= {
            "request_body_mode": request_mode,
            "request_trailer_mode": "SEND",
            "response_header_mode": "SEND",
            "response_body_mode": response_mode,
            "response_trailer_mode": "SEND",
        }
        manager["http_filters"].insert(0 if place == "before" else 1, _answers_itself())
        async with running_envoy(settings, tmp_path, static_resources=bootstrap["static_resources"]) as address:
            yield address


def _answers_itself() -> dict[str, object]:
    code = 'function envoy_on_request(h) h:respond({[":status"] = "418"}, "no entry") end'
    return {
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": code},
        },
    }


async def test_the_answer_of_another_filter_arrives_whole(url: str):
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 100_000}]}
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        answer = await client.post(f"{url}/v1/chat/completions", json=body)

    assert (418, "invalid_request") == (answer.status_code, answer.json()["error"]["code"])
