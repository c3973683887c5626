"""Forebay as endpoint picker of an Envoy that is not ours: a real Envoy, a worker, engines, and proposal 004."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.support.backend import Backend, Exchange, running_backend
from tests.support.picker_envoy import picker_envoy
from tests.support.polling import until
from tests.support.redis import redis_server
from tests.support.running_worker import running_worker

USAGE = {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16}
CONTROL = ("x-gateway-inference-objective", "x-gateway-inference-fairness-id", "x-gateway-model-name-rewrite")
SOURCES = pytest.mark.parametrize("source", ["header", "metadata"])


async def engine(exchange: Exchange) -> None:
    """Answer as vLLM does: the model that was asked for, and the usage."""
    if not exchange.body:  # a probe
        await exchange.reply(b"{}")
        return
    asked = orjson.loads(exchange.body)
    answer = {"id": "1", "model": asked["model"], "usage": USAGE}
    if not asked.get("stream"):
        await exchange.reply(orjson.dumps(answer), **dict.fromkeys(CONTROL, "an engine's"))
        return
    delta = {"id": "1", "model": asked["model"], "choices": [{"delta": {"content": "hi"}}]}
    events = [delta, {**answer, "choices": []}]
    await exchange.stream([*[b"data: " + orjson.dumps(event) + b"\n\n" for event in events], b"data: [DONE]\n\n"])


@dataclass
class Picked:
    """The pool: its pods, and a client of the Envoy before them."""

    client: httpx.AsyncClient
    pods: dict[str, Backend]
    log: Path

    async def chat(self, source: str = "metadata", path: str = "", headers: Any = (), **body: Any) -> httpx.Response:
        fields = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **body}
        target = f"/v1/chat/completions?{path}"
        return await self.client.post(target, json=fields, headers={"x-source": source, **dict(headers)})

    def requests(self, pods: str = "abc") -> list[Exchange]:
        return [request for name in pods for request in self.pods[name].requests if request.body]

    async def logged(self, path: str) -> dict[str, Any]:
        """The access-log entry of the request whose path ends so."""
        found: list[dict[str, Any]] = []

        async def is_there() -> bool:
            lines = self.log.read_bytes().splitlines() if self.log.exists() else []
            found[:] = [entry for line in lines if (entry := orjson.loads(line))["path"].endswith(path)]
            return bool(found)

        await until(is_there)
        return found[0]


@pytest.fixture
async def picked(tmp_path: Path) -> AsyncIterator[Picked]:
    async with AsyncExitStack() as parts:
        redis = parts.enter_context(redis_server())
        pods = {name: await parts.enter_async_context(running_backend(engine)) for name in "abc"}
        endpoints = [{"address": pod.address, "name": name} for name, pod in pods.items()]
        settings = {
            "models": [{"name": "m", "endpoints": endpoints}, {"name": "m-v2", "endpoints": endpoints[2:]}],
            "picker": {"rewrites": [{"models": ["alias"], "targets": [{"model": "m-v2"}]}]},
            "response_mode": "ext_proc",
            "health": {"interval_s": 3600},
        }
        worker = parts.enter_context(running_worker(tmp_path, redis.url, settings))
        addresses = [pod.address for pod in pods.values()]
        url = await parts.enter_async_context(picker_envoy(tmp_path, worker.grpc, addresses))
        client = httpx.AsyncClient(base_url=url, trust_env=False, timeout=30)
        yield Picked(await parts.enter_async_context(client), pods, tmp_path / "access.log")


@SOURCES
async def test_the_destination_in_header_and_metadata_is_one_and_decides(picked: Picked, source: str):
    for _ in range(6):
        answer = await picked.chat(source)

        assert 200 == answer.status_code, answer.text
        assert answer.headers["x-seen-header"] == answer.headers["x-seen-metadata"]
        destinations = answer.headers["x-seen-metadata"].split(",")
        assert destinations[0] == answer.headers["x-pod"]
        assert {pod.address for pod in picked.pods.values()} == set(destinations)


@SOURCES
async def test_a_subset_hint_confines_the_choice_and_nobody_in_it_is_unavailable(picked: Picked, source: str):
    chosen = picked.pods["b"].address
    for _ in range(3):
        answer = await picked.chat(source, headers={"x-subset": f"10.9.9.9:1, {chosen}"})
        assert (chosen, chosen) == (answer.headers["x-pod"], answer.headers["x-seen-metadata"])

    assert 503 == (await picked.chat(source, headers={"x-subset": "10.9.9.9:1"})).status_code


async def test_a_large_body_reaches_the_pod_whole(picked: Picked):
    text = "x" * 400_000
    answer = await picked.chat(messages=[{"role": "user", "content": text}])

    assert 200 == answer.status_code
    (request,) = picked.requests()
    assert text == orjson.loads(request.body)["messages"][0]["content"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("asked", "headers"), [("alias", {}), ("m", {"x-gateway-model-name-rewrite": "m-v2"})], ids=["rule", "header"]
)
async def test_a_model_is_rewritten_for_the_engine_and_back_for_the_client(
    picked: Picked, asked: str, headers: dict[str, str], stream: bool
):
    answer = await picked.chat(model=asked, headers=headers, stream=stream)

    (request,) = picked.requests("c")
    assert "m-v2" == orjson.loads(request.body)["model"]
    texts = [answer.text]
    if stream:
        texts = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    assert [asked] * len(texts) == [orjson.loads(text)["model"] for text in texts]
    assert not stream or answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [False, True])
async def test_the_cost_of_a_request_is_its_metadata_in_the_end(picked: Picked, stream: bool):
    await picked.chat(path="costs", stream=stream)
    assert 16 == (await picked.logged("costs"))["cost"]


async def test_control_headers_reach_neither_the_engine_nor_the_client(picked: Picked):
    answer = await picked.chat(headers=dict.fromkeys(CONTROL[:2], "o"), path="")

    (request,) = picked.requests()
    assert 200 == answer.status_code
    assert [] == [name for name in CONTROL if name in request.head or name in answer.headers]


async def test_requests_at_once_are_all_answered(picked: Picked):
    answers = await asyncio.gather(*[picked.chat(stream=bool(number % 2)) for number in range(40)])
    assert {200} == {answer.status_code for answer in answers}
    assert 40 == len(picked.requests())
