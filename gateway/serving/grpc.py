"""The second transport, grpc.aio: a reference for our own server, and an alternative to it.

Lives here: generic handlers that pass bytes to the service.  Not here: what the methods do (service).  CPU per request
is a multiple of that of http2 (docs/decisions/0010).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from grpc import aio

from gateway.serving.certificates import Certificates, Loaded
from gateway.serving.ext_proc_stream import ExtProcStream, ProtocolError
from gateway.serving.framing import MAX_MESSAGE_BYTES, FramingError
from gateway.serving.service import ACCESS_LOG, EXT_PROC, HEALTH, Service

SERVER_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.so_reuseport", 1),
    ("grpc.max_concurrent_streams", 10_000),
    ("grpc.server.max_pending_requests", 100_000),  # the default refuses streams at random from about 1,000 pending
    ("grpc.server.max_pending_requests_hard_limit", 100_000),
    ("grpc.server_handshake_timeout_ms", 10_000),  # as on http2
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)

Context = aio.ServicerContext[bytes, bytes]


class GrpcHandlers:
    """The services as grpc.aio handlers over raw bytes."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def process(self, messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        """ExternalProcessor.Process."""
        stream = self._service.ext_proc_stream()
        try:
            async for message in messages:
                for reply in await feed_to_end(stream, message):
                    yield reply
                if stream.ended:
                    return
        except ProtocolError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except FramingError as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        except Exception as error:  # noqa: BLE001 - supervision point
            self._service.report_failure(EXT_PROC, error)
            await context.abort(grpc.StatusCode.INTERNAL, "internal error")
        finally:
            stream.close()

    async def access_logs(self, messages: AsyncIterator[bytes], context: Context) -> bytes:
        """AccessLogService.StreamAccessLogs."""
        try:
            async for message in messages:
                self._service.settle_access_log(message)
                if self._service.is_stopping:
                    break
        except ProtocolError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Exception as error:  # noqa: BLE001 - supervision point
            self._service.report_failure(ACCESS_LOG, error)
            await context.abort(grpc.StatusCode.INTERNAL, "internal error")
        return b""

    async def check(self, request: bytes, context: Context) -> bytes:
        """Health.Check."""
        try:
            known = self._service.knows_service(request)
        except ProtocolError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        if not known:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return self._service.health()

    async def watch(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        """Health.Watch."""
        try:
            async for status in self._service.health_changes(request):
                yield status
        except ProtocolError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))


async def feed_to_end(stream: ExtProcStream, message: bytes) -> list[bytes]:
    """Return the replies to a message; a cancelled call still waits for them before it ends.

    grpc.aio cancels a call when its client leaves.  If that stopped an admission under way, a reservation that Redis is
    just making would never be settled.
    """
    feeding = asyncio.ensure_future(stream.feed(message))
    try:
        return await asyncio.shield(feeding)
    except asyncio.CancelledError:
        stream.abandon()
        await asyncio.wait([feeding])  # at most the limiter's timeout
        feeding.exception()  # retrieved, so that asyncio does not warn: there is no client to answer
        raise


class GrpcServer:
    """grpc.aio with the same `start` and `stop` as Http2Server."""

    def __init__(self, service: Service, certificates: Certificates | None = None) -> None:
        self._service = service
        self._credentials = None if certificates is None else _credentials(certificates)
        handlers = GrpcHandlers(service)
        self._server = aio.server(options=SERVER_OPTIONS)
        self._server.add_generic_rpc_handlers(
            (
                _methods(EXT_PROC, Process=_stream_stream(handlers.process)),
                _methods(ACCESS_LOG, StreamAccessLogs=_stream_unary(handlers.access_logs)),
                _methods(HEALTH, Check=_unary_unary(handlers.check), Watch=_unary_stream(handlers.watch)),
            )
        )

    async def start(self, addresses: Sequence[str]) -> None:
        """Accept connections.  Raises RuntimeError when an address cannot be bound."""
        for address in addresses:
            if self._credentials is None:
                self._server.add_insecure_port(address)
            else:
                self._server.add_secure_port(address, self._credentials)
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Accept no new calls; those that run have `grace_s` to end."""
        self._service.is_stopping = True
        await self._server.stop(grace_s)


def _credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Return credentials that each handshake asks for the newest certificates, in a thread of grpc's."""
    first = certificates.loaded

    def newest() -> Any:
        return _configuration(certificates.loaded)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(first), newest, require_client_authentication=bool(first.client_ca)
    )


def _configuration(loaded: Loaded) -> Any:
    return grpc.ssl_server_certificate_configuration([(loaded.key, loaded.cert)], loaded.client_ca or None)


def _methods(service: str, **handlers: Any) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(service, handlers)


_stream_stream: Callable[..., Any] = grpc.stream_stream_rpc_method_handler
_stream_unary: Callable[..., Any] = grpc.stream_unary_rpc_method_handler
_unary_unary: Callable[..., Any] = grpc.unary_unary_rpc_method_handler
_unary_stream: Callable[..., Any] = grpc.unary_stream_rpc_method_handler
