"""The sockets of HTTP/2 connections: replies that are made in one turn of the event loop leave in one write.

Lives here: asyncio's protocol, listening, graceful shutdown.  Not here: frames (connection), calls (calls), TLS (tls).
"""

import asyncio
import ssl
from collections.abc import Sequence
from typing import cast

import structlog

from gateway.config.addresses import split_address
from gateway.serving.certificates import Certificates
from gateway.serving.http2.calls import open_call
from gateway.serving.http2.connection import Call, Connection, Stream
from gateway.serving.http2.frames import NO_ERROR, PROTOCOL_ERROR, Http2Error
from gateway.serving.http2.tls import HANDSHAKE_RECORD, Tls, reason_of
from gateway.serving.service import Service

log = structlog.get_logger("http2")

PREFACE_S = 10.0
"""Seconds within which a client must have said that it speaks HTTP/2, after the handshake where there is TLS (chosen:
Envoy says so at once)."""
IDLE_S = 900.0
"""Seconds without any byte and without a stream after which a connection is closed (chosen: an Envoy checks the health
of a worker twice a second)."""
BACKLOG = 1024
"""Connections that the kernel queues until they are accepted (chosen: Envoys and probes open a handful)."""

MAX_STRANGERS = 1000
"""Connections that have not said yet that they speak HTTP/2; a further one ends the oldest, so that many that stall do
not keep Envoys out (chosen: an Envoy is a stranger for milliseconds)."""
REPEAT_S = 60.0
"""Seconds until the same reason for refusing connections is logged again (chosen: an Envoy tries again at once)."""


def _not_http2(how: bytes) -> bytes:
    """Return the answer to whoever does not begin as HTTP/2 does: nothing of ours is sent before that is known."""
    hint = b"This address speaks gRPC over HTTP/2, %b TLS, to Envoy.\n" % how
    head = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n"
    return head % len(hint) + hint


NOT_HTTP2 = _not_http2(b"without")
NOT_HTTP2_OVER_TLS = _not_http2(b"with")


class _Clients:
    """The connections of a server."""

    def __init__(self) -> None:
        self.all: set[_Client] = set()
        self.strangers: dict[_Client, None] = {}  # in the order of their arrival
        self._quiet_until: dict[str, float] = {}  # by reason

    def __len__(self) -> int:
        return len(self.all)

    def add(self, client: "_Client") -> None:
        """Add a connection, of which nothing is known yet."""
        self.all.add(client)
        self.strangers[client] = None
        if len(self.strangers) > MAX_STRANGERS:
            oldest = next(iter(self.strangers))
            del self.strangers[oldest]
            oldest.abort()

    def discard(self, client: "_Client") -> None:
        """Forget a connection that is gone."""
        self.all.discard(client)
        self.strangers.pop(client, None)

    def complain(self, client: str, why: str) -> None:
        """Log that a client was refused, unless the same was logged just now."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._quiet_until.get(why, 0.0):
            self._quiet_until[why] = now_s + REPEAT_S
            log.warning("connection_refused", client=client, why=why)


class _Client(asyncio.Protocol):
    """One client's socket and its connection, in TLS if there are certificates."""

    def __init__(self, service: Service, clients: _Clients, certificates: Certificates | None) -> None:
        self._clients = clients
        self._tls = None if certificates is None else Tls(certificates.loaded.grpc)
        self._loop = asyncio.get_running_loop()
        self._service = service
        self.connection = Connection(self._open, self._flush_soon)
        self._transport: asyncio.Transport
        self._received_s = 0.0  # when the last bytes came
        self._alarm: asyncio.TimerHandle | None = None
        self._flush_pending = False
        self._is_stranger = True

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
            self.abort()
        elif not len(self.connection) and idle_s >= IDLE_S:
            self.close()
        else:
            self._alarm = self._loop.call_later(max(IDLE_S - idle_s, PREFACE_S), self._look)

    def data_received(self, data: bytes) -> None:
        self._received_s = self._loop.time()
        pending, self._flush_pending = self._flush_pending, True  # replies made meanwhile are flushed below
        try:
            self.connection.receive(data if self._tls is None else self._decrypted(self._tls, data))
        except Http2Error as error:
            if self.connection.greeted:
                self.close(error.code, str(error))
            else:
                self._refuse(data)
        except ssl.SSLError as failure:
            self._end_tls(failure)
        else:
            self._flush_pending = pending
            if self.connection.greeted and self.connection.out:
                self._flush_soon()
            if self._is_stranger and self.connection.greeted:
                self._is_stranger = False
                self._clients.strangers.pop(self, None)

    def _decrypted(self, tls: Tls, data: bytes) -> bytes:
        """Return the plaintext in `data`.  Raises Http2Error for a client without TLS, and ssl.SSLError."""
        if not tls.begun and data[0] != HANDSHAKE_RECORD:
            raise Http2Error(PROTOCOL_ERROR, "the client speaks no TLS")
        plaintext = tls.receive(data)
        own = tls.take()
        if own:
            self._transport.write(own)
        return plaintext

    def _refuse(self, data: bytes) -> None:
        """Tell a client that does not begin as HTTP/2 does what this address speaks, and close."""
        if self._tls is None:
            if data[0] == HANDSHAKE_RECORD:
                self._complain("the client speaks TLS, this address does not")
            self._transport.write(NOT_HTTP2)
        elif self._tls.shaken:
            self._transport.write(self._tls.protect(NOT_HTTP2_OVER_TLS))
        else:
            self._complain("the client speaks no TLS, this address does")
            self._transport.write(NOT_HTTP2_OVER_TLS)
        self._transport.close()

    def _end_tls(self, error: ssl.SSLError) -> None:
        """Close a connection whose handshake or records are not sound; TLS has told the client why."""
        self._complain(reason_of(error))
        if self._tls is not None:
            self._transport.write(self._tls.take())
        self._transport.close()

    def _complain(self, why: str) -> None:
        self._clients.complain(str((self._transport.get_extra_info("peername") or [""])[0]), why)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._clients.discard(self)
        if self._alarm is not None:
            self._alarm.cancel()
        self.connection.on_lost()

    def abort(self) -> None:
        """Close the socket at once."""
        self._transport.abort()

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
        if self._tls is not None:
            self._transport.write(self._tls.end())
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
        if self.connection.out and not self._transport.is_closing() and (self._tls is None or self._tls.shaken):
            data = b"".join(self.connection.out)
            self.connection.out.clear()
            self._transport.write(data if self._tls is None else self._tls.protect(data))


class Http2Server:
    """A gRPC server: listening sockets and the connections that they accept, in TLS if there are certificates."""

    def __init__(self, service: Service, certificates: Certificates | None = None) -> None:
        self._service = service
        self._certificates = certificates
        self._clients = _Clients()
        self._servers: list[asyncio.Server] = []

    async def start(self, addresses: Sequence[str]) -> None:
        """Accept connections.  Raises OSError when an address cannot be bound."""
        loop = asyncio.get_running_loop()
        for address in addresses:
            host, port = split_address(address)
            server = await loop.create_server(self._accept, host, port, reuse_port=True, backlog=BACKLOG)
            self._servers.append(server)

    def _accept(self) -> _Client:
        return _Client(self._service, self._clients, self._certificates)

    async def stop(self, grace_s: float) -> None:
        """Accept no new calls; those that run have `grace_s` to end."""
        self._service.is_stopping = True
        for server in self._servers:
            server.close()
        for client in self._clients.all:
            client.connection.start_shutdown()
        await asyncio.sleep(grace_s)  # always all of it: an access-log stream ends with its next batch
        for client in list(self._clients.all):
            client.close()
