"""The transport grpc.aio where contract tests do not reach: calls cancelled during admission, and our own defects."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc.aio import AbortError

from gateway.serving.grpc import GrpcHandlers, feed_to_end


class SlowStream:
    """A stream that waits for its limiter."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self.admitted = False
        self.abandoned = False

    def abandon(self) -> None:
        self.abandoned = True

    async def feed(self, message: bytes) -> list[bytes]:
        await self.answered.wait()
        self.admitted = True
        return [message]


async def test_the_replies_to_a_message_are_returned():
    stream: Any = SlowStream()
    stream.answered.set()
    assert [b"x"] == await feed_to_end(stream, b"x")


async def test_a_cancelled_call_ends_once_the_admission_it_began_is_known():
    stream: Any = SlowStream()
    call = asyncio.create_task(feed_to_end(stream, b"x"))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.sleep(0)
    assert (False, False, True) == (call.done(), stream.admitted, stream.abandoned)

    stream.answered.set()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert stream.admitted


class BrokenService:
    """A service with a defect, and a context that records the status of the call."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.code: grpc.StatusCode | None = None

    def settle_access_log(self, message: bytes) -> None:
        raise RuntimeError(message)

    def report_failure(self, method: str, error: Exception) -> None:
        self.failures.append(method)

    async def abort(self, code: grpc.StatusCode, _details: str) -> None:
        self.code = code
        raise AbortError


async def test_a_defect_in_the_access_log_is_reported_like_one_in_an_exchange():
    async def messages() -> AsyncIterator[bytes]:
        yield b"an entry"

    broken: Any = BrokenService()

    with pytest.raises(AbortError):
        await GrpcHandlers(broken).access_logs(messages(), broken)

    assert (["envoy.service.accesslog.v3.AccessLogService"], grpc.StatusCode.INTERNAL) == (broken.failures, broken.code)
