"""An optimizer's HTTP face for tests: GET /metrics/default/{deployment}, whose values the test sets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass
class Publisher:
    """Publishes replicas by deployment; `body` takes the place of every page, a deployment without replicas is 404."""

    address: str = ""
    replicas: dict[str, int] = field(default_factory=dict)
    body: bytes | None = None

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        name = path.removeprefix("/metrics/default/")
        known = name in self.replicas
        page = f'vllm:deployment_replicas{{model_name="m"}} {100 * self.replicas[name]}\n' if known else '{"error": ""}'
        body = page.encode() if self.body is None else self.body
        status = "200 OK" if known else "404 Not Found"
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve during the block, at the same address each time."""
        host, _, port = (self.address or "127.0.0.1:0").rpartition(":")
        async with await asyncio.start_server(self.answer, host, int(port), reuse_address=True) as server:
            host, number = server.sockets[0].getsockname()
            self.address = f"{host}:{number}"
            yield
