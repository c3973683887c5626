"""A listener in the place of an engine that has died: it notes connections and hangs up."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.support.polling import until


@dataclass
class Grave:
    """Times at which requests for answers came; health checks and scrapes are not among them."""

    posts_s: list[float] = field(default_factory=list)
    guests: set[asyncio.StreamWriter] = field(default_factory=set)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.guests.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if (await reader.readexactly(4)).startswith(b"POST"):
                self.posts_s.append(time.monotonic())
        self.guests.discard(writer)
        writer.transport.abort()


@contextlib.asynccontextmanager
async def grave(address: str) -> AsyncIterator[Grave]:
    """Listens on `ip:port` until the block ends."""
    host, _, port = address.rpartition(":")
    dug = Grave()
    async with await asyncio.start_server(dug._serve, host, int(port), reuse_address=True):
        yield dug
    for guest in dug.guests:  # who came and said nothing
        guest.transport.abort()
    await until(lambda: not dug.guests)
