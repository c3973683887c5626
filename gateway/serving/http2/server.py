"""Sockets around HTTP/2 connections: reads in, one write per turn of the loop out.

Lives here: asyncio's protocol, listening, the orderly end.  Not here: frames (connection), calls.
"""

import asyncio
from collections.abc import Sequence
from typing import cast

from gateway.config.addresses import split_address
from gateway.serving.http2.calls import open_call
from gateway.serving.http2.connection import Call, Connection, Stream
from gateway.serving.http2.frames import NO_ERROR, Http2Error
from gateway.serving.service import Service

BACKLOG = 1024
"""Connections not accepted yet: Envoys, a handful (chosen)."""


class _Client(asyncio.Protocol):
    """One connection's transport."""

    def __init__(self, service: Service, clients: set["_Client"]) -> None:
        self._clients = clients
        self._loop = asyncio.get_running_loop()
        self._service = service
        self.connection = Connection(self._open, self._flush_soon)
        self._transport: asyncio.Transport
        self._flushing = False

    def _open(self, path: str, stream: Stream) -> Call:
        return open_call(self._service, self.connection, path, stream)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, the same interface
        self._clients.add(self)
        self._flush_soon()

    def data_received(self, data: bytes) -> None:
        due, self._flushing = self._flushing, True  # what is answered at once leaves below
        try:
            self.connection.receive(data)
        except Http2Error as error:
            self.close(error.code, str(error))
        else:
            self._flushing = due
            if self.connection.out:
                self._flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._clients.discard(self)
        self.connection.lost()

    def pause_writing(self) -> None:
        """Who does not read our answers is not read either."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._transport.resume_reading()

    def close(self, code: int = NO_ERROR, reason: str = "") -> None:
        """Send what is ready and hang up."""
        self.connection.end(code, reason)
        self._flush()
        self._transport.close()

    def _flush_soon(self) -> None:
        """What several calls say in one turn of the loop leaves in one write; the last one need not wait."""
        if self._flushing:
            return
        if self.connection.deciding:
            self._flushing = True
            self._loop.call_soon(self._flush)
        else:
            self._flush()

    def _flush(self) -> None:
        self._flushing = False
        if self.connection.out and not self._transport.is_closing():
            self._transport.write(b"".join(self.connection.out))
            self.connection.out.clear()


class Http2Server:
    """gRPC on listening sockets."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._clients: set[_Client] = set()
        self._servers: list[asyncio.Server] = []

    async def start(self, addresses: Sequence[str]) -> None:
        """Accept connections.  Raises OSError when an address cannot be bound."""
        loop = asyncio.get_running_loop()
        for address in addresses:
            host, port = split_address(address)
            server = await loop.create_server(
                lambda: _Client(self._service, self._clients), host, port, reuse_port=True, backlog=BACKLOG
            )
            self._servers.append(server)

    async def stop(self, grace_s: float) -> None:
        """Accept nothing new; what runs has `grace_s` to end."""
        for server in self._servers:
            server.close()
        for client in self._clients:
            client.connection.leave()
        await asyncio.sleep(grace_s)  # the access log's streams have no end of their own
        for client in list(self._clients):
            client.close()
