import asyncio
import socket
import time

import pytest
import uvloop

from ratelimit.patience import Patience
from tests.support.standstill import stand_still


async def test_a_block_that_takes_too_long_is_ended_in_time():
    began_s = time.monotonic()
    with pytest.raises(TimeoutError):
        async with Patience(0.1):
            await asyncio.sleep(30)

    assert 0.09 < time.monotonic() - began_s < 10


async def test_a_block_that_ends_in_time_leaves_no_timer():
    async with Patience(0.05):
        pass
    await asyncio.sleep(0.1)


async def test_an_error_of_the_block_passes():
    with pytest.raises(KeyError):
        async with Patience(1.0):
            raise KeyError


async def test_whoever_has_made_progress_may_begin_again():
    async with Patience(0.1) as patience:
        for _ in range(5):
            await asyncio.sleep(0.05)
            patience.renew()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_what_came_while_the_loop_stood_still_is_read_first(run):
    async def stand() -> bytes:
        near, far = socket.socketpair()
        with far:
            reader, writer = await asyncio.open_connection(sock=near)
            async with Patience(0.1):
                await stand_still(0.3, lambda: far.send(b"x"))
                answer = await reader.read(1)
            writer.close()
            return answer

    assert b"x" == run(stand())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_each_standstill_counts_as_one_pause_however_long_it_is(run):
    async def stand() -> None:
        async with Patience(0.5):
            for _ in range(4):
                await stand_still(0.3, lambda: None)

    run(stand())
