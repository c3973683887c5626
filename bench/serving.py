"""A server beside a measurement, in its own thread, so that its CPU time is not that of the measuring thread.

Lives here: thread, loop and socket.  Not here: what is answered (following, scraping).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Serves one connection."""


@contextlib.contextmanager
def served(answer: Answer, backlog: int = 100) -> Iterator[str]:
    """Yield the address of a server for the length of a block; `backlog` connections may wait to be accepted."""
    loop, listening = asyncio.new_event_loop(), Future[str]()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=backlog)
        host, port = server.sockets[0].getsockname()
        listening.set_result(f"{host}:{port}")
        async with server:
            await server.serve_forever()

    with ThreadPoolExecutor(1) as thread:
        task = loop.create_task(serve())
        thread.submit(loop.run_until_complete, task)
        yield listening.result()
        loop.call_soon_threadsafe(task.cancel)
    loop.close()
