"""The gateway's HTTP/2 server on a real socket, and the sockets of its clients."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

from gateway.config.addresses import split_address
from gateway.serving.certificates import Certificates
from gateway.serving.http2.frames import FRAME_HEADER
from gateway.serving.http2.server import Http2Server
from tests.support.certificates import NAME
from tests.support.http2 import Frame, frames_of
from tests.support.polling import until
from tests.support.ports import free_address
from tests.support.shop import Shop, a_service

ENOUGH_S = 20.0


class Running:
    """A server and its clients' sockets."""

    def __init__(self, certificates: Certificates | None = None) -> None:
        self.address = free_address()
        self.server = Http2Server(a_service(Shop()), certificates)
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(
        self, *said: bytes, tls: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new connection, on which the client has said this."""
        name = NAME if tls else None
        opening = asyncio.open_connection(*split_address(self.address), ssl=tls, server_hostname=name)
        reader, writer = await asyncio.wait_for(opening, ENOUGH_S)
        self._writers.append(writer)
        writer.write(b"".join(said))
        return reader, writer

    async def end(self) -> None:
        """Close both sides, and let the loop finish what is left."""
        await self.server.stop(0)
        for writer in self._writers:
            writer.transport.abort()
        await until(lambda: not self.server._clients)


@contextlib.asynccontextmanager
async def running_server(certificates: Certificates | None = None) -> AsyncIterator[Running]:
    """A server that has started, and ends with the block."""
    one = Running(certificates)
    await one.server.start([one.address])
    yield one
    await one.end()


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    head = await asyncio.wait_for(reader.readexactly(FRAME_HEADER.size), ENOUGH_S)
    high, low, *_ = FRAME_HEADER.unpack(head)
    return frames_of(head + await asyncio.wait_for(reader.readexactly(high << 8 | low), ENOUGH_S))[0]
