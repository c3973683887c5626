"""Errors that Envoy makes itself, and those it must leave alone."""

import asyncio
import subprocess
from pathlib import Path

import httpx
import pytest

from gateway.config.settings import TimeoutSettings
from tests.support.backend import Exchange, running_backend
from tests.support.envoy import stack
from tests.support.ports import free_address
from tests.support.processor import Answer, ObservedEnd, Processor

REFUSAL = b'{"error":{"message":"user: lgy has exceeded RPM: 3","code":"rate_limit_exceeded"}}'
SHORT = TimeoutSettings(idle_s=0.5, request_s=1)


def asks_for(address: str) -> Processor:
    return Processor(lambda seen: Answer(address, "m"))


def assert_openai_shaped(answer: httpx.Response, status: int, code: str) -> None:
    assert (status, "application/json") == (answer.status_code, answer.headers["content-type"])
    error = answer.json()["error"]
    assert {"message", "type", "code", "param"} == error.keys()
    assert (code, None) == (error["code"], error["param"])
    assert error["message"]


async def test_a_gateway_that_is_away_is_503(tmp_path: Path):
    gateway = asks_for("")
    async with stack(tmp_path, [gateway], {}) as client:
        await gateway.stop()
        assert_openai_shaped(await client.post("/"), 503, "service_unavailable")


async def test_no_engine_that_accepts_is_503(tmp_path: Path):
    dead = free_address()
    async with stack(tmp_path, [asks_for(dead)], {"m": {"pod-a": dead}}) as client:
        answer = await client.post("/")
        assert_openai_shaped(answer, 503, "service_unavailable")
        assert "1" == answer.headers["retry-after"]


async def test_an_engine_that_never_answers_is_504(tmp_path: Path):
    async def silent(exchange: Exchange) -> None:
        await exchange.writer.wait_closed()

    async with running_backend(silent) as engine:
        models = {"m": {"pod-a": engine.address}}
        async with stack(tmp_path, [asks_for(engine.address)], models, timeouts=SHORT) as client:
            assert_openai_shaped(await client.post("/"), 504, "upstream_timeout")


async def test_headers_that_are_too_large_are_431(tmp_path: Path):
    async with stack(tmp_path, [asks_for("")], {}) as client:
        answer = await client.post("/", headers={"big": "x" * 70_000})
        assert_openai_shaped(answer, 431, "request_headers_too_large")


def assert_anthropic_shaped(answer: httpx.Response, status: int, kind: str) -> None:
    assert (status, "application/json") == (answer.status_code, answer.headers["content-type"])
    assert ("error", "r-1") == (answer.json()["type"], answer.json()["request_id"])
    error = answer.json()["error"]
    assert ({"type", "message"}, kind) == (error.keys(), error["type"])
    assert error["message"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", "/v1/messages?beta=true"])
async def test_on_anthropics_paths_envoys_errors_have_anthropics_shape(tmp_path: Path, path: str):
    gateway = asks_for("")
    async with stack(tmp_path, [gateway], {}) as client:
        client.headers["x-request-id"] = "r-1"
        await gateway.stop()
        assert_anthropic_shaped(await client.post(path), 503, "api_error")
        assert_openai_shaped(await client.post("/v1/messagesx"), 503, "service_unavailable")


async def test_a_body_that_stops_half_way_is_408(tmp_path: Path):
    async with stack(tmp_path, [asks_for("")], {}, timeouts=SHORT) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer


async def test_a_body_that_envoy_cannot_hold_is_413_and_names_the_limit(tmp_path: Path):
    """By curl, which reads while it sends; Envoy stops reading when it refuses."""
    body = tmp_path / "body"
    body.write_bytes(bytes(20_000_000))
    async with stack(tmp_path, [asks_for("")], {}, body_limit_bytes=4096) as client:
        argv = ["curl", "-s", "-w", "%{http_code}", "--data-binary", f"@{body}", str(client.base_url)]
        answer = await asyncio.to_thread(subprocess.run, argv, capture_output=True, timeout=60, check=True)

    assert answer.stdout.endswith(b"413")
    assert b"exceeds 4096 bytes" in answer.stdout


async def test_a_body_up_to_twice_the_limit_reaches_the_gateway_which_can_refuse_it_politely(tmp_path: Path):
    limit = 9 * 1024 * 1024
    gateway = Processor(lambda seen: Answer(refuse=413, body=str(len(seen.body)).encode()))
    async with stack(tmp_path, [gateway], {}, body_limit_bytes=limit) as client:
        answer = await client.post("/", content=bytes(2 * limit - 1024))

    assert (413, str(2 * limit - 1024)) == (answer.status_code, answer.text)


@pytest.mark.parametrize("body_mode", ["buffered", "full_duplex_streamed"])
async def test_refusals_of_the_gateway_and_errors_of_engines_pass_untouched(tmp_path: Path, body_mode: str):
    async def refuses(exchange: Exchange) -> None:
        await exchange.reply(b'{"detail":"Not Found"}', status=404, content_type="application/problem+json")

    async with running_backend(refuses) as engine:

        def answer(seen: ObservedEnd) -> Answer:
            headers = {"content-type": "application/json", "x-error-rpm-exceeded": "true"}
            return (
                Answer(refuse=429, body=REFUSAL, headers=headers)
                if "limited" in seen.headers
                else Answer(engine.address, "m")
            )

        models = {"m": {"pod-a": engine.address}}
        async with stack(tmp_path, [Processor(answer)], models, envoy={"body_mode": body_mode}) as client:
            refused = await client.post("/", json={}, headers={"limited": "1"})
            failed = await client.post("/", json={})

    assert (refused.status_code, refused.content) == (429, REFUSAL)
    assert (refused.headers["content-type"], refused.headers["x-error-rpm-exceeded"]) == ("application/json", "true")
    assert (failed.status_code, failed.content) == (404, b'{"detail":"Not Found"}')
    assert failed.headers["content-type"] == "application/problem+json"
