"""The sockets of HTTP/2 connections: replies that are made in one turn of the event loop leave in one write.

Lives here: asyncio's protocol, listening, graceful shutdown.  Not here: frames (connection), calls (calls).
"""

import asyncio
from collections.abc import Sequence
from typing import cast

from gateway.config.addresses import split_address
from gateway.serving.http2.calls import open_call
from gateway.serving.http2.connection import Call, Connection, Stream
from gateway.serving.http2.frames import NO_ERROR, Http2Error
from gateway.serving.service import Service

PREFACE_S = 10.0
"""Seconds within which a client must have said that it speaks HTTP/2 (chosen: Envoy says so at once)."""
IDLE_S = 900.0
"""Seconds without any byte and without a stream after which a connection is closed (chosen: an Envoy checks the health
of a worker twice a second)."""
BACKLOG = 1024
"""Connections that the kernel queues until they are accepted (chosen: Envoys and probes open a handful)."""

_HINT = b"This address speaks gRPC over HTTP/2, without TLS, to Envoy.\n"
NOT_HTTP2 = (
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_HINT), _HINT)
)
"""The answer to whoever does not begin as HTTP/2 does: nothing of ours is sent before that is known."""


class _Client(asyncio.Protocol):
    """One client's socket and its connection."""

    def __init__(self, service: Service, clients: set["_Client"]) -> None:
        self._clients = clients
        self._loop = asyncio.get_running_loop()
        self._service = service
        self.connection = Connection(self._open, self._flush_soon)
        self._transport: asyncio.Transport
        self._received_s = 0.0  # when the last bytes came
        self._alarm: asyncio.TimerHandle | None = None
        self._flush_pending = False

    def _open(self, path: str, stream: Stream) -> Call:
        return open_call(self._service, self.connection, path, stream)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop has a class of its own, with the same interface
        self._clients.add(self)
        self._alarm = self._loop.call_later(PREFACE_S, self._look)

    def _look(self) -> None:
        """Close a connection that does not speak HTTP/2, or that has had no use for long."""
        idle_s = self._loop.time() - self._received_s
        if not self.connection.greeted:
            self._transport.abort()
        elif not len(self.connection) and idle_s >= IDLE_S:
            self.close()
        else:
            self._alarm = self._loop.call_later(max(IDLE_S - idle_s, PREFACE_S), self._look)

    def data_received(self, data: bytes) -> None:
        self._received_s = self._loop.time()
        pending, self._flush_pending = self._flush_pending, True  # replies made meanwhile are flushed below
        try:
            self.connection.receive(data)
        except Http2Error as error:
            if self.connection.greeted:
                self.close(error.code, str(error))
            else:
                self._transport.write(NOT_HTTP2)
                self._transport.close()
        else:
            self._flush_pending = pending
            if self.connection.out:
                self._flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._clients.discard(self)
        if self._alarm is not None:
            self._alarm.cancel()
        self.connection.on_lost()

    def pause_writing(self) -> None:
        """Apply backpressure: stop reading from a client that stops reading."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again, because the client does."""
        self._transport.resume_reading()

    def close(self, code: int = NO_ERROR, reason: str = "") -> None:
        """Send GOAWAY and what is ready, then close the socket."""
        self.connection.go_away(code, reason)
        self._flush()
        self._transport.close()

    def _flush_soon(self) -> None:
        """Flush at once; while decisions are under way, in the next turn of the loop, to send their replies too."""
        if self._flush_pending:
            return
        if self.connection.undecided_calls:
            self._flush_pending = True
            self._loop.call_soon(self._flush)
        else:
            self._flush()

    def _flush(self) -> None:
        self._flush_pending = False
        if self.connection.out and not self._transport.is_closing():
            self._transport.write(b"".join(self.connection.out))
            self.connection.out.clear()


class Http2Server:
    """A gRPC server: listening sockets and the connections that they accept."""

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
        """Accept no new calls; those that run have `grace_s` to end."""
        self._service.is_stopping = True
        for server in self._servers:
            server.close()
        for client in self._clients:
            client.connection.start_shutdown()
        await asyncio.sleep(grace_s)  # always all of it: an access-log stream ends with its next batch
        for client in list(self._clients):
            client.close()
