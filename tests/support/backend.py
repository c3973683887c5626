"""Engines that misbehave on purpose: raw asyncio servers, because real HTTP servers would be polite."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

Behaviour = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Backend:
    """A listening engine and what it received."""

    address: str = ""
    requests: list["Exchange"] = field(default_factory=list)


@dataclass
class Exchange:
    """One request on a connection; `nth` counts requests of that connection from 0."""

    nth: int
    head: str
    body: bytes
    writer: asyncio.StreamWriter

    async def reply(self, body: bytes, status: int = 200, **headers: str) -> None:
        lines = {"content-type": "application/json", "content-length": str(len(body))}
        lines |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body)
        await self.writer.drain()

    async def stream(self, events: list[bytes]) -> None:
        async def at_once() -> None:
            for event in events:
                await self.chunk(event)

        await self.paced_stream(at_once)

    async def paced_stream(self, events: Callable[[], Awaitable[None]]) -> None:
        """Headers, whatever `events` writes at its own pace, and the end."""
        self.writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        await events()
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        self.writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await self.writer.drain()


@contextlib.asynccontextmanager
async def running_backend(behaviour: Behaviour) -> AsyncIterator[Backend]:
    """Serves on a free loopback port until the block ends."""
    backend = Backend()
    connections: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nth = 0
        connections.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                exchange = await _read(reader, writer, nth)
                backend.requests.append(exchange)
                await behaviour(exchange)
                nth += 1
        connections.discard(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    backend.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield backend
    finally:
        server.close()
        for writer in connections:
            writer.close()
        await server.wait_closed()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, nth: int) -> Exchange:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    if "transfer-encoding: chunked" in head:
        return Exchange(nth, head, await _chunks(reader), writer)
    lengths = [line.partition(":")[2] for line in head.splitlines() if line.startswith("content-length:")]
    return Exchange(nth, head, await reader.readexactly(int(lengths[0]) if lengths else 0), writer)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body
