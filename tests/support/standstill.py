"""An event loop that does not get to run for a while."""

import asyncio
import socket
import time
from collections.abc import Callable


async def stand_still(seconds: float, meanwhile: Callable[[], object]) -> None:
    """Block the loop for so long, and do something at the beginning.

    It happens while the loop reads sockets: uvloop then fires the timers that have become due before it reads again.
    """
    near, far = socket.socketpair()
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def block() -> None:
        loop.remove_reader(near)
        meanwhile()
        time.sleep(seconds)
        over.set()

    with near, far:
        loop.add_reader(near, block)
        far.send(b"x")
        await over.wait()
