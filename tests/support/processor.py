"""A stand-in for the gateway: the smallest ext_proc server that routes, refuses and remembers what Envoy did."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

messages: Any = grpc.protos("tests/support/processor.proto")
FULL_DUPLEX_STREAMED = 4
SERVING, NOT_SERVING = 1, 2


@dataclass
class Answer:
    """The answer of the gateway to one request: its destination, or the refusal."""

    destination: str = ""
    model: str = ""
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    refuse: int = 0
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class ObservedEnd:
    """One exchange as the processor saw it."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    phases: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Processor:
    """One gRPC server with ext_proc, access log and health; `answer` decides, `seen` and `logged` remember."""

    def __init__(
        self, answer: Callable[[ObservedEnd], Answer], response_body: Callable[[bytes], bytes] | None = None
    ) -> None:
        self.answer = answer
        self.response_body = response_body
        self.seen: list[ObservedEnd] = []
        self.logged: list[Any] = []
        self.address = ""
        self.status = SERVING
        self._server = grpc.aio.server(
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        )
        self._server.add_generic_rpc_handlers(tuple(self._handlers()))

    async def start(self, address: str = "127.0.0.1:0") -> None:
        self.address = f"127.0.0.1:{self._server.add_insecure_port(address)}"
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(grace=0)

    def _handlers(self) -> list[grpc.GenericRpcHandler]:
        methods = {
            "envoy.service.ext_proc.v3.ExternalProcessor": {
                "Process": grpc.stream_stream_rpc_method_handler(
                    self._process, messages.ProcessingRequest.FromString, _serialize
                )
            },
            "envoy.service.accesslog.v3.AccessLogService": {
                "StreamAccessLogs": grpc.stream_unary_rpc_method_handler(
                    self._log, messages.StreamAccessLogsMessage.FromString, lambda _: b""
                )
            },
            "grpc.health.v1.Health": {
                "Check": grpc.unary_unary_rpc_method_handler(
                    self._check, None, _serialize
                )
            },
        }  # fmt: skip
        return [grpc.method_handlers_generic_handler(service, handlers) for service, handlers in methods.items()]

    async def _check(self, request: bytes, context: object) -> Any:
        return messages.HealthCheckResponse(status=self.status)

    async def _log(self, stream: AsyncIterator[Any], context: object) -> None:
        async for batch in stream:
            self.logged.extend(batch.http_logs.log_entry)

    async def _process(self, stream: AsyncIterator[Any], context: object) -> AsyncIterator[Any]:
        seen = ObservedEnd()
        self.seen.append(seen)
        try:
            streamed = False
            async for request in stream:
                phase = request.WhichOneof("request")
                seen.phases.append(phase)
                streamed = streamed or request.protocol_config.request_body_mode == FULL_DUPLEX_STREAMED
                for reply in self._replies(seen, phase, request, streamed):
                    yield reply
        finally:
            seen.ended.set()

    def _replies(self, seen: ObservedEnd, phase: str, request: Any, streamed: bool) -> list[Any]:
        if phase == "request_headers":
            seen.headers = {h.key: h.raw_value.decode() for h in request.request_headers.headers.headers}
            if request.request_headers.end_of_stream:
                return [self._routed(seen, "request_headers")]
            return [] if streamed else [_continue("request_headers")]
        if phase == "request_body":
            seen.body += request.request_body.body
            if not streamed:
                return [self._routed(seen, "request_body")]
            return self._duplex(seen) if request.request_body.end_of_stream else []
        if phase == "response_body" and self.response_body is not None:
            return [_replaced(self.response_body(request.response_body.body))]
        return [_continue(phase)]

    def _duplex(self, seen: ObservedEnd) -> list[Any]:
        first = self._routed(seen, "request_headers")
        if first.WhichOneof("response") == "immediate_response":
            return [first]
        size = 60_000
        pieces = [seen.body[at : at + size] for at in range(0, len(seen.body), size)] or [b""]
        body = [_piece(piece, last=at == len(pieces) - 1) for at, piece in enumerate(pieces)]
        return [first, *body]

    def _routed(self, seen: ObservedEnd, phase: str) -> Any:
        answer = self.answer(seen)
        if answer.refuse:
            return _refusal(answer)
        reply = _continue(phase)
        metadata = dict(answer.metadata)
        if answer.destination:
            named = {"x-gateway-destination-endpoint": answer.destination, "model": answer.model}
            metadata["envoy.lb"] = named | metadata.get("envoy.lb", {})
            headers = getattr(reply, phase).response.header_mutation
            _set(headers, {"x-gateway-destination-endpoint": answer.destination})
        reply.dynamic_metadata.update(metadata)
        getattr(reply, phase).response.clear_route_cache = True
        return reply


def _serialize(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _continue(phase: str) -> Any:
    reply = messages.ProcessingResponse()
    getattr(reply, phase).response.SetInParent()
    return reply


def _replaced(body: bytes) -> Any:
    reply = _continue("response_body")
    reply.response_body.response.body_mutation.body = body
    return reply


def _piece(body: bytes, last: bool) -> Any:
    reply = _continue("request_body")
    streamed = reply.request_body.response.body_mutation.streamed_response
    streamed.body, streamed.end_of_stream = body, last
    return reply


def _refusal(answer: Answer) -> Any:
    reply = messages.ProcessingResponse()
    reply.immediate_response.status.code = answer.refuse
    reply.immediate_response.body = answer.body
    _set(reply.immediate_response.headers, answer.headers)
    return reply


def _set(mutation: Any, headers: dict[str, str]) -> None:
    for name, value in headers.items():
        option = mutation.set_headers.add(append_action=2)
        option.header.key, option.header.raw_value = name, value.encode()


@contextlib.asynccontextmanager
async def running(processor: Processor, address: str = "127.0.0.1:0") -> AsyncIterator[Processor]:
    """Started, and stopped in the end."""
    await processor.start(address)
    try:
        yield processor
    finally:
        await processor.stop()
