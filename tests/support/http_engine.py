"""The least of an HTTP server: answers every request with a settable status, or never."""

import asyncio
from types import TracebackType


class HttpEngine:
    """An async context manager; `address` is `ip:port`.

    `status` None accepts and never answers; a `content_length` above 0 announces a body that never comes.
    """

    def __init__(self, status: int | None = 200, content_length: int = 0) -> None:
        self.status = status
        self.content_length = content_length
        self.requests: list[bytes] = []  # request lines

    async def __aenter__(self) -> "HttpEngine":
        self._ended = asyncio.Event()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head.partition(b"\r\n")[0])
        if self.status is None:
            await self._ended.wait()
        else:
            writer.write(f"HTTP/1.1 {self.status} Made Up\r\ncontent-length: {self.content_length}\r\n\r\n".encode())
            await writer.drain()
            if self.content_length:
                await self._ended.wait()
        writer.close()
