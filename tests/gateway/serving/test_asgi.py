"""gRPC over ASGI, without a server: what is sent for what is received.  The services run in tests/contract."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from gateway.serving.asgi import GrpcApp, Message
from gateway.serving.framing import Deframer, frame
from gateway.serving.service import Service
from proto import health_pb2 as health
from tests.support.shop import Shop

PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"


def an_app() -> GrpcApp:
    shop = Shop()
    return GrpcApp(Service(shop.settings, shop.pipeline, shop.ledger, lambda: True, shop.metrics.error))


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


@pytest.mark.parametrize(("data", "status"), [(frame(b"\xff\xff"), b"3"), (frame(b""), b"3"), (b"\1\0\0\0\0", b"12")])
async def test_what_is_no_exchange_is_an_invalid_argument_or_unimplemented(data: bytes, status: bytes):
    _, trailers = await call(PROCESS, piece(data))
    assert status == trailers[b"grpc-status"]
    assert trailers[b"grpc-message"].isascii()


async def test_a_peer_that_leaves_gets_no_more():
    assert ([], {}) == await call(PROCESS, GONE)


async def test_a_stream_that_ends_before_a_request_ends_well():
    _, trailers = await call(PROCESS, piece(b"", more=False))
    assert b"0" == trailers[b"grpc-status"]


async def test_a_watcher_hears_the_state_and_may_leave():
    asked, told = asyncio.Event(), asyncio.Event()

    async def receive() -> dict[str, Any]:
        if told.is_set() or asked.is_set():
            await told.wait()
            return GONE
        asked.set()
        return piece(b"", more=False)

    async def send(message: Any) -> None:
        if message.get("body"):
            told.set()

    await asyncio.wait_for(an_app()({"path": "/grpc.health.v1.Health/Watch"}, receive, send), timeout=5)


class BrokenSession:
    """A session with a defect."""

    ended = False
    closed = False

    async def feed(self, message: bytes) -> list[bytes]:
        raise ZeroDivisionError

    def close(self) -> None:
        self.closed = True


class FakeService:
    """What the application asks of a service."""

    def __init__(self) -> None:
        self.made = BrokenSession()
        self.failures: list[str] = []

    def session(self) -> BrokenSession:
        return self.made

    def failed(self, method: str, error: Exception) -> None:
        self.failures.append(method)

    def knows(self, request: bytes) -> bool:
        return health.HealthCheckRequest.FromString(request).service == ""

    async def health_changes(self, request: bytes) -> AsyncIterator[bytes]:
        yield self.health()

    def health(self) -> bytes:
        return b"healthy"


async def called(service: FakeService, path: str, body: bytes, *, gone: bool = False) -> dict[bytes, bytes]:
    """The trailers of one call; `gone`: the client is, so that nothing can be sent."""
    trailers: dict[bytes, bytes] = {}

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if gone:
            raise ConnectionResetError
        if message["type"] == "http.response.trailers":
            trailers.update(message["headers"])

    app: Any = GrpcApp(service)  # type: ignore[arg-type]  # a double of the part that is used
    await app({"path": path}, receive, send)
    return trailers


async def test_a_defect_ends_the_call_as_an_error_and_not_as_go_on_without_me():
    service = FakeService()
    trailers = await called(service, PROCESS, b"\0\0\0\0\0")
    assert b"13" == trailers[b"grpc-status"]
    assert ([PROCESS], True) == (service.failures, service.made.closed)


async def test_a_client_that_is_gone_is_no_defect():
    service = FakeService()
    assert {} == await called(service, PROCESS, b"\0\0\0\0\0", gone=True)
    assert [] == service.failures


@pytest.mark.parametrize(("path", "body", "status"), [
    ("/nobody/Method", b"", b"12"),
    ("/grpc.health.v1.Health/Check", b"\0\0\0\0\0", b"0"),
    ("/grpc.health.v1.Health/Check", b"", b"0"),
    ("/grpc.health.v1.Health/Check", b"\0\0\0\0\3\n\1x", b"5"),
])  # fmt: skip
async def test_calls_end_with_the_status_that_says_why(path: str, body: bytes, status: bytes):
    assert status == (await called(FakeService(), path, body))[b"grpc-status"]


async def test_watching_takes_no_cpu_from_a_server_that_never_waits():
    received = 0

    async def receive() -> Message:
        nonlocal received
        received += 1
        gone = received > 2
        return {"type": "http.disconnect"} if gone else {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        told.append(message)

    told: list[Message] = []
    app: Any = GrpcApp(FakeService())  # type: ignore[arg-type]  # a double of the part that is used
    await app({"path": "/grpc.health.v1.Health/Watch"}, receive, send)
    assert b"\0\0\0\0\7healthy" in [message.get("body") for message in told]
