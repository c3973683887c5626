"""gRPC over ASGI where nothing else reaches: defects of ours, clients that leave, methods nobody knows."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.serving.asgi import GrpcApp, Message, percent_encoded
from gateway.serving.service import EXT_PROC
from proto import health_pb2 as health

PROCESS = f"/{EXT_PROC}/Process"


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

    def failed(self, method: str) -> None:
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


async def test_compressed_messages_are_invalid():
    assert b"3" == (await called(FakeService(), PROCESS, b"\1\0\0\0\0"))[b"grpc-status"]


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


def test_messages_are_percent_encoded():
    assert b"50%25 %C3%A9" == percent_encoded("50% \u00e9")
