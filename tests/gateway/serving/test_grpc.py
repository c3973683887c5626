"""The plain transport where nothing else reaches: a call that is cancelled while its request is being admitted."""

import asyncio
from typing import Any

import pytest

from gateway.serving.grpc import fed


class SlowSession:
    """A session that waits for its limiter."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self.admitted = False

    async def feed(self, message: bytes) -> list[bytes]:
        await self.answered.wait()
        self.admitted = True
        return [message]


async def test_a_message_brings_its_replies():
    session: Any = SlowSession()
    session.answered.set()
    assert [b"x"] == await fed(session, b"x")


async def test_a_cancelled_call_ends_once_the_admission_it_began_is_known():
    session: Any = SlowSession()
    call = asyncio.create_task(fed(session, b"x"))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.sleep(0)
    assert (False, False) == (call.done(), session.admitted)

    session.answered.set()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert session.admitted
