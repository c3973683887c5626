"""gRPC over ASGI, without a server: what is sent for what is received.  The services run in tests/contract."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.serving.asgi import GrpcApp, percent_encoded
from gateway.serving.framing import Deframer, frame
from gateway.serving.service import Service
from proto import health_pb2 as health
from tests.support.shop import Shop

PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"


def an_app() -> GrpcApp:
    shop = Shop()
    return GrpcApp(Service(shop.settings, shop.pipeline, shop.ledger, lambda: True))


async def call(path: str, *events: dict[str, Any]) -> tuple[list[bytes], dict[bytes, bytes]]:
    """The messages sent back and the trailers, empty when the call did not get that far."""
    incoming: Iterator[dict[str, Any]] = iter(events)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return next(incoming)

    async def send(message: Any) -> None:
        sent.append(message)

    await an_app()({"path": path}, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    trailers = [dict(message["headers"]) for message in sent if message["type"] == "http.response.trailers"]
    return list(Deframer().feed(body)), trailers[0] if trailers else {}


def piece(data: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


GONE = {"type": "http.disconnect"}


async def test_a_health_check_is_answered_and_ends_well():
    (answer,), trailers = await call("/grpc.health.v1.Health/Check", GONE)
    assert health.HealthCheckResponse.SERVING == health.HealthCheckResponse.FromString(answer).status
    assert b"0" == trailers[b"grpc-status"]


async def test_an_unknown_method_is_unimplemented():
    assert ([], b"12") == ((answer := await call("/no.Such/Method"))[0], answer[1][b"grpc-status"])


@pytest.mark.parametrize("data", [frame(b"\xff\xff"), frame(b""), b"\1\0\0\0\0"])
async def test_what_is_no_exchange_is_an_invalid_argument(data: bytes):
    _, trailers = await call(PROCESS, piece(data))
    assert b"3" == trailers[b"grpc-status"]
    assert trailers[b"grpc-message"].isascii()


async def test_a_peer_that_leaves_gets_no_more():
    assert ([], {}) == await call(PROCESS, GONE)


async def test_a_stream_that_ends_before_a_request_ends_well():
    _, trailers = await call(PROCESS, piece(b"", more=False))
    assert b"0" == trailers[b"grpc-status"]


async def test_a_watcher_hears_the_state_and_may_leave():
    told = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await told.wait()
        return GONE

    async def send(message: Any) -> None:
        if message.get("body"):
            told.set()

    await asyncio.wait_for(an_app()({"path": "/grpc.health.v1.Health/Watch"}, receive, send), timeout=5)


def test_messages_in_trailers_are_percent_encoded():
    assert b"a%25b%0A%C3%A9" == percent_encoded("a%b\né")
