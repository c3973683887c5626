"""Retries and paths of a real Envoy."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.support.backend import Exchange, running_backend
from tests.support.envoy import stack
from tests.support.ports import free_address
from tests.support.processor import Answer, Processor


async def closes_idle_connections(exchange: Exchange) -> None:
    """Answers the first request of a connection and hangs up as the second one arrives."""
    if exchange.nth:
        exchange.writer.close()
    else:
        await exchange.reply(b"{}")


async def hello(exchange: Exchange) -> None:
    await exchange.reply(b"{}")


async def fails(exchange: Exchange) -> None:
    await exchange.reply(b'{"error":{"message":"out of memory"}}', status=500)


async def test_an_engine_that_closes_an_idle_connection_is_not_seen_by_users(tmp_path: Path):
    async with running_backend(closes_idle_connections) as engine:
        gateway = Processor(lambda seen: Answer(engine.address, "m"))
        async with stack(tmp_path, [gateway], {"m": {"pod-a": engine.address}}) as client:
            statuses = [(await client.post("/", json={"n": n})).status_code for n in range(6)]

    assert statuses == [200] * 6
    assert len(engine.requests) > 6  # some were hung up on


async def test_an_error_of_an_engine_is_an_answer_and_not_retried(tmp_path: Path):
    async with running_backend(fails) as broken, running_backend(hello) as healthy:
        gateway = Processor(lambda seen: Answer(f"{broken.address},{healthy.address}", "m"))
        models = {"m": {"broken": broken.address, "healthy": healthy.address}}
        async with stack(tmp_path, [gateway], models) as client:
            answer = await client.post("/")

    assert (answer.status_code, answer.headers["target-pod"]) == (500, "broken")
    assert b"out of memory" in answer.content
    assert not healthy.requests


async def test_a_retried_request_carries_its_body_again(tmp_path: Path):
    body = b"x" * 300_000
    async with running_backend(hello) as engine:
        dead = free_address()
        gateway = Processor(lambda seen: Answer(f"{dead},{engine.address}", "m"))
        async with stack(tmp_path, [gateway], {"m": {"dead": dead, "pod-a": engine.address}}) as client:
            answer = await client.post("/", content=body)

    assert answer.status_code == 200
    assert body == engine.requests[0].body


@pytest.mark.parametrize("path", ["/v1/../admin", "//v1//x", "/v1/./x"])
async def test_paths_reach_the_gateway_normalised(tmp_path: Path, path: str):
    async with running_backend(hello) as engine:
        gateway = Processor(lambda seen: Answer(engine.address, "m"))
        async with stack(tmp_path, [gateway], {"m": {"pod-a": engine.address}}) as client:
            host, port = client.base_url.host, client.base_url.port
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            await reader.readline()
            writer.close()

    assert gateway.seen[0].headers[":path"] in ("/admin", "/v1/x")


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("/v1/models/org%2Fname", "/v1/models/org/name"),
        ("/v1/models/org%2fname?a=%2F", "/v1/models/org/name?a=%2F"),
        ("/v1/responses/..%2F..%2Fsleep", "/sleep"),
        ("/v1/responses/%2e%2e/x", "/v1/x"),
    ],
)
async def test_escaped_slashes_are_slashes_for_the_gateway_and_for_engines(tmp_path: Path, sent: str, seen: str):
    async with running_backend(hello) as engine:
        gateway = Processor(lambda seen: Answer(engine.address, "m"))
        async with stack(tmp_path, [gateway], {"m": {"pod-a": engine.address}}) as client:
            await _raw(client, f"GET {sent} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())

    assert seen == gateway.seen[0].headers[":path"]
    assert f"get {seen} ".lower() in engine.requests[0].head


@pytest.mark.parametrize("host", ["", "host: example.com\r\n"])
@pytest.mark.parametrize("keep_alive", ["", "connection: keep-alive\r\n"])
async def test_clients_of_http_1_0_are_served(tmp_path: Path, host: str, keep_alive: str):
    async def streams(exchange: Exchange) -> None:
        await exchange.stream([b"data: {}\n\n", b"data: [DONE]\n\n"])

    async with running_backend(streams) as engine:
        gateway = Processor(lambda seen: Answer(engine.address, "m"))
        async with stack(tmp_path, [gateway], {"m": {"pod-a": engine.address}}) as client:
            head = f"POST / HTTP/1.0\r\n{host}{keep_alive}content-length: 2\r\n\r\n"
            answer = await _raw(client, head.encode() + b"{}")

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200"))
    assert b"transfer-encoding" not in head.lower()
    assert body == b"data: {}\n\ndata: [DONE]\n\n"
    assert b"{}" == gateway.seen[0].body


async def _raw(client: httpx.AsyncClient, request: bytes) -> bytes:
    """Send bytes and return all that comes until the connection ends."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer
