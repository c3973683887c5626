"""A server of pages of metrics, which tests change while it runs."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.observability.serving import http_server, shared_socket


@dataclass
class MetricsPages:
    """Paths with their statuses and pages; a page that is None never comes."""

    port: int
    answers: dict[str, tuple[int, bytes | None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def show(self, page: str | bytes | None, path: str = "/metrics", status: int = 200) -> None:
        """Answer a path so from now on."""
        self.answers[path] = status, page.encode() if isinstance(page, str) else page

    async def answer(self, request: Request) -> Response:
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        self.asked.append(target)
        status, page = self.answers.get(target, (404, b"no such page"))
        if page is None:
            await asyncio.sleep(3600)
        return Response(page, status)


@asynccontextmanager
async def metrics_pages(tls: ssl.SSLContext | None = None) -> AsyncIterator[MetricsPages]:
    """Run one for the length of a block, on loopback."""
    listener = shared_socket("127.0.0.1:0")
    pages = MetricsPages(listener.getsockname()[1])
    server = http_server(Starlette(routes=[Route("/{path:path}", pages.answer)]), tls)
    server.config.timeout_graceful_shutdown = 0
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield pages
    finally:
        server.should_exit = True
        await serving
