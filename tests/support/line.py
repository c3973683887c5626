"""A line to a Redis that can be slow, go mute or be cut, while Redis itself is well."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.redis import RedisServer


@dataclass
class Line:
    """A line to Redis: the socket to connect to, and the faults that happen on it."""

    path: Path
    delay_s: float = 0.0
    """How late answers come."""
    accepts: bool = True
    """Whether new connections are served; they are closed at once otherwise."""
    connections: int = 0
    """How many were opened so far."""
    mute: set[int] = field(default_factory=set)
    """Connections, counted from 1, on which nothing gets through any more."""
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def cut(self) -> None:
        """End every connection that is open; what was sent before has arrived."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


@asynccontextmanager
async def a_line(server: RedisServer, path: Path) -> AsyncIterator[Line]:
    line, tasks = Line(path), []

    async def carry(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool) -> None:
        try:
            while data := await reader.read(2**16):
                await asyncio.sleep(line.delay_s if back else 0)
                if number not in line.mute:
                    writer.write(data)
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not line.accepts:
            writer.close()
            return
        line.connections += 1
        line._writers.append(writer)
        upstream, there = await asyncio.open_unix_connection(server.url.removeprefix("unix://"))
        tasks.append(asyncio.create_task(carry(line.connections, reader, there, back=False)))
        tasks.append(asyncio.create_task(carry(line.connections, upstream, writer, back=True)))

    async with await asyncio.start_unix_server(connected, path):
        yield line
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
