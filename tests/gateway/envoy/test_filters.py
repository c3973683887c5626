"""The filters of a real Envoy: what they lift from answers, and how long an exchange lives."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.config.from_zero import ScaleFromZeroSettings
from gateway.config.settings import RoutingSettings, Settings
from gateway.envoy.filters import http_filters
from gateway.envoy.messages import duration
from gateway.envoy.names import ERROR_NAMESPACE, USAGE_NAMESPACE
from tests.support.backend import Exchange, running_backend
from tests.support.envoy import stack
from tests.support.polling import until
from tests.support.processor import Answer, Processor

EVENT_STREAM = "text/event-stream; charset=utf-8"  # as vLLM sends it


def gateway_for(address: str, **options: object) -> Processor:
    exchange = {"exchange": "0-1"}
    return Processor(lambda seen: Answer(address, "m", {"forebay": exchange}), **options)  # type: ignore[arg-type]  # passed on


async def logged(processor: Processor, namespace: str) -> dict[str, Any]:
    await until(lambda: bool(processor.logged))
    metadata = processor.logged[0].common_properties.metadata.filter_metadata
    return dict(metadata[namespace].items()) if namespace in metadata else {}


async def usage_of(
    tmp_path: Path, answer: bytes, content_type: str, namespace: str = USAGE_NAMESPACE
) -> dict[str, Any]:
    """Return what the access log says after an engine gave this answer."""

    async def engine(exchange: Exchange) -> None:
        if content_type == EVENT_STREAM:
            await exchange.stream([answer])
        else:
            await exchange.reply(answer, content_type=content_type)

    async with running_backend(engine) as backend:
        gateway = gateway_for(backend.address)
        async with stack(tmp_path, [gateway], {"m": {"pod-a": backend.address}}) as client:
            reply = await client.post("/", json={})
            assert (200, answer) == (reply.status_code, reply.content)
            return await logged(gateway, namespace)


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
async def test_usage_of_a_json_answer_is_in_the_access_log(tmp_path: Path, content_type: str):
    counts = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    details = {"prompt_tokens_details": {"cached_tokens": 4}, "input_tokens_details": None}

    usage = await usage_of(tmp_path, orjson.dumps({"usage": counts | details}), content_type)

    assert usage == counts | {"cached_tokens": 4}


async def test_usage_of_an_embeddings_answer_of_ten_megabytes_is_found(tmp_path: Path):
    answer = orjson.dumps({"data": [0.1234567] * 1_000_000, "usage": {"prompt_tokens": 5, "total_tokens": 5}})

    assert await usage_of(tmp_path, answer, "application/json") == {"prompt_tokens": 5, "total_tokens": 5}


async def test_answers_without_usage_or_that_are_not_json_pass(tmp_path: Path):
    for number, answer in enumerate((b"{}", b"not json", b'{"usage":null}', b'{"usage":"many"}', b"")):
        directory = tmp_path / str(number)
        directory.mkdir()
        assert await usage_of(directory, answer, "application/json") == {}


@pytest.mark.parametrize(
    ("stream", "usage"),
    [
        pytest.param(
            b'data: {"choices":[{}],"usage":null}\n\n'
            b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12,'
            b'"prompt_tokens_details":{"cached_tokens":4}}}\n\n'
            b"data: [DONE]\n\n",
            {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12, "cached_tokens": 4},
            id="chat",
        ),
        pytest.param(
            b'data: {"usage":{"completion_tokens":1}}\n\n'
            b'data: {"usage":{"completion_tokens":2,"prompt_tokens_details":null}}\n\n',
            {"completion_tokens": 2},
            id="usage on every chunk: the last counts",
        ),
        pytest.param(
            b'data: {"choices":[]}\r\n\r\ndata:{"usage":{"prompt_tokens":5}}\r\n\r\n',
            {"prompt_tokens": 5},
            id="CRLF and no space",
        ),
        pytest.param(
            b'event: response.completed\ndata: {"response":{"usage":{"input_tokens":3,"output_tokens":4,'
            b'"input_tokens_details":{"cached_tokens":2}}}}\n\n',
            {"input_tokens": 3, "output_tokens": 4, "cached_tokens": 2},
            id="responses",
        ),
        pytest.param(
            b'event: message_start\ndata: {"message":{"usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
            b'event: message_delta\ndata: {"usage":{"output_tokens":9}}\n\n',
            {"input_tokens": 3, "output_tokens": 9},
            id="messages",
        ),
        pytest.param(
            b'data: {"choices":["' + b"x" * 200_000 + b'"],"usage":{"prompt_tokens":5}}\n\n',
            {"prompt_tokens": 5},
            id="an event of 200 KB",
        ),
        pytest.param(
            b'data: {"choices":[{}]}\n\ndata: {"usage":{"prompt_tokens":5}}\n',
            {},
            id="a last event without its blank line is none to Envoy (docs/limits.md)",
        ),
    ],
)
async def test_usage_of_a_stream_is_in_the_access_log(tmp_path: Path, stream: bytes, usage: dict[str, int]):
    assert usage == await usage_of(tmp_path, stream, EVENT_STREAM)


@pytest.mark.parametrize("content_type", ["application/json", EVENT_STREAM])
@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b'{"error":{"message":"died","code":500}}', {"500"}),
        (b'{"error":{"message":"long","code":"context_length_exceeded"}}', {"context_length_exceeded"}),
        (b'{"error":{"message":"long","type":"invalid_request_error"}}', {"invalid_request_error"}),
        (b'{"error":{"message":"died"}}', set()),
        (b'{"error":"died"}', {"died"}),
    ],
)
async def test_an_error_under_status_200_is_in_the_access_log_whatever_its_code(
    tmp_path: Path, content_type: str, answer: bytes, found: set[str]
):
    if content_type == EVENT_STREAM:
        answer = b'data: {"choices":[]}\n\ndata: ' + answer + b"\n\ndata: [DONE]\n\n"

    error = await usage_of(tmp_path, answer, content_type, ERROR_NAMESPACE)

    assert "error" in error
    assert all(word in str(error) for word in found)


@pytest.mark.parametrize(
    "answer",
    [
        b'{"error":null,"choices":[{"message":{"content":"\\"error\\": 1"}}],"metadata":{"error":{"code":500}}}',
        b'{"choices":[{"error":"x"}],"usage":{"prompt_tokens":5}}',
        b'{"response":{"error":null,"metadata":{"error":"x"}}}',
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", EVENT_STREAM])
async def test_what_a_client_had_echoed_is_no_error_and_no_usage(tmp_path: Path, content_type: str, answer: bytes):
    if content_type == EVENT_STREAM:
        answer = b"data: " + answer + b"\n\n"

    assert {} == await usage_of(tmp_path, answer, content_type, ERROR_NAMESPACE)


@pytest.mark.parametrize("mode", ["metadata", "ext_proc"])
async def test_the_exchange_stays_open_until_the_answer_has_ended(tmp_path: Path, mode: str):
    more = asyncio.Event()

    async def paced(exchange: Exchange) -> None:
        async def events() -> None:
            await exchange.chunk(b"data: {}\n\n")
            await more.wait()
            await exchange.chunk(b"data: []\n\n")

        await exchange.paced_stream(events)

    async with running_backend(paced) as backend:
        gateway = gateway_for(backend.address)
        async with stack(tmp_path, [gateway], {"m": {"pod-a": backend.address}}, response_mode=mode) as client:
            async with client.stream("POST", "/", json={}) as answer:
                chunks = answer.aiter_bytes()
                await anext(chunks)
                assert not gateway.seen[0].ended.is_set()
                more.set()
                assert [chunk async for chunk in chunks] == [b"data: []\n\n"]
            await asyncio.wait_for(gateway.seen[0].ended.wait(), 30)


@pytest.mark.parametrize("mode", ["metadata", "ext_proc"])
async def test_a_client_that_leaves_ends_the_exchange_and_is_logged(tmp_path: Path, mode: str):
    async def endless(exchange: Exchange) -> None:
        async def events() -> None:
            await exchange.chunk(b"data: {}\n\n")
            await exchange.writer.wait_closed()

        await exchange.paced_stream(events)

    async with running_backend(endless) as backend:
        gateway = gateway_for(backend.address)
        async with stack(tmp_path, [gateway], {"m": {"pod-a": backend.address}}, response_mode=mode) as client:
            async with client.stream("POST", "/", json={}) as answer:
                await anext(answer.aiter_bytes())
            await asyncio.wait_for(gateway.seen[0].ended.wait(), 30)
            await until(lambda: bool(gateway.logged))

    assert gateway.logged[0].response.response_code_details == "downstream_remote_disconnect"


async def test_metadata_mode_shows_the_gateway_nothing_of_the_answer(tmp_path: Path):
    async def chatty(exchange: Exchange) -> None:
        await exchange.stream([b"data: {}\n\n"] * 50)

    async with running_backend(chatty) as backend:
        gateway = gateway_for(backend.address)
        async with stack(tmp_path, [gateway], {"m": {"pod-a": backend.address}}) as client:
            await client.post("/", json={})

    assert gateway.seen[0].phases == ["request_headers", "request_body"]


async def test_ext_proc_mode_shows_it_and_lets_it_hide_chunks(tmp_path: Path):
    async def streaming(exchange: Exchange) -> None:
        await exchange.stream([b"data: shown\n\n"])

    async with running_backend(streaming) as backend:
        gateway = gateway_for(backend.address, response_body=lambda data: data.replace(b"shown", b"h"))
        models = {"m": {"pod-a": backend.address}}
        async with stack(tmp_path, [gateway], models, response_mode="ext_proc") as client:
            answer = await client.post("/", json={})

    assert answer.content == b"data: h\n\n"
    assert gateway.seen[0].phases[2:4] == ["response_headers", "response_body"]


async def test_full_duplex_bodies_arrive_whole(tmp_path: Path):
    body = b"0123456789" * 20_000

    async def echo(exchange: Exchange) -> None:
        await exchange.reply(exchange.body)

    async with running_backend(echo) as backend:
        gateway = gateway_for(backend.address)
        envoy = {"body_mode": "full_duplex_streamed"}
        async with stack(tmp_path, [gateway], {"m": {"pod-a": backend.address}}, envoy=envoy) as client:
            answer = await client.post("/", content=body)

    assert body == gateway.seen[0].body == answer.content


@pytest.mark.parametrize(("overload_s", "from_zero_s"), [(45.0, 0.0), (20.0, 45.0)])
def test_envoy_is_more_patient_than_requests_may_wait_in_the_gateway(overload_s: float, from_zero_s: float):
    routing, from_zero = RoutingSettings(longest_wait_s=overload_s), ScaleFromZeroSettings(longest_wait_s=from_zero_s)
    ext_proc, *_ = http_filters(Settings(routing=routing, scale_from_zero=from_zero))

    assert duration(55.0) == ext_proc["typed_config"]["message_timeout"]
