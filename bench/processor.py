"""The empty processor: an ext_proc processor without logic, on grpc.aio and uvloop.

`python -m bench.processor PORT`.  It parses each message, answers with the empty reply of its phase and discards the
access log.  No ext_proc processor on grpc.aio costs less, so Forebay's cost is compared with it.
"""

import sys
from collections.abc import AsyncIterator

import grpc
import uvloop

from gateway.pb.ext_proc_pb2 import ProcessingRequest, ProcessingResponse

_PENDING = 10_000
"""Limits of grpc.aio on streams that wait to be accepted; at its defaults it refuses some from about 1,000 on."""
_OPTIONS = (
    ("grpc.max_concurrent_streams", _PENDING),
    ("grpc.server.max_pending_requests", _PENDING),
    ("grpc.server.max_pending_requests_hard_limit", _PENDING),
)
_SERVING = b"\x08\x01"
"""An encoded grpc.health.v1.HealthCheckResponse with status = SERVING."""

Context = grpc.aio.ServicerContext[object, object]


async def process(requests: AsyncIterator[ProcessingRequest], context: Context) -> AsyncIterator[ProcessingResponse]:
    """Yield the empty reply to each message; its field has the name of the message's field."""
    async for request in requests:
        reply = ProcessingResponse()
        getattr(reply, request.WhichOneof("request")).SetInParent()
        yield reply


async def discard(entries: AsyncIterator[bytes], context: Context) -> bytes:
    """Read an access-log stream to its end."""
    async for _ in entries:
        pass
    return b""


async def check(request: bytes, context: Context) -> bytes:
    """Return SERVING."""
    return _SERVING


def services() -> tuple[grpc.GenericRpcHandler, ...]:
    """Return the handlers of ext_proc, with parsed messages, and of access log and health, with bytes."""
    exchange = grpc.stream_stream_rpc_method_handler(
        process, ProcessingRequest.FromString, ProcessingResponse.SerializeToString
    )
    return (
        grpc.method_handlers_generic_handler("envoy.service.ext_proc.v3.ExternalProcessor", {"Process": exchange}),
        grpc.method_handlers_generic_handler(
            "envoy.service.accesslog.v3.AccessLogService",
            {"StreamAccessLogs": grpc.stream_unary_rpc_method_handler(discard)},
        ),
        grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}
        ),
    )


async def serve(port: int) -> None:
    """Answer until the process ends."""
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers(services())
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
