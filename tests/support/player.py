"""Plays Envoy: one ext_proc stream per request, over real gRPC, message by message."""

import itertools
import queue
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import orjson

from gateway.pb import ext_proc_pb2 as pb

METHOD = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
_END = None
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Say this is a test!"}]}
BUFFERED, FULL_DUPLEX = 2, 4


class Player:
    """A client of one gateway; `open` starts a request."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        self.channel = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
        self._call = self.channel.stream_stream(METHOD)

    def open(self) -> "Stream":
        return Stream(self._call)

    def chat(self, body: Mapping[str, Any] | bytes = CHAT, mode: int = BUFFERED, **headers: str) -> "Stream":
        """A request up to the end of its body; the replies are not read yet."""
        stream = self.open()
        stream.headers(mode=mode, **headers)
        stream.body(body if isinstance(body, bytes) else orjson.dumps(body))
        return stream

    def close(self) -> None:
        self.channel.close()


class Stream:
    """One exchange."""

    def __init__(self, call: Any) -> None:
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._replies = call(iter(self._outgoing.get, _END), timeout=20)

    def send(self, request: pb.ProcessingRequest | bytes) -> None:
        self._outgoing.put(request if isinstance(request, bytes) else request.SerializeToString())

    def headers(
        self,
        *,
        mode: int | None = BUFFERED,
        method: str = "POST",
        path: str = "/v1/chat/completions",
        end: bool = False,
        subset: str | list[str] | None = None,
        **headers: str,
    ) -> None:
        request = pb.ProcessingRequest()
        pairs = {":method": method, ":path": path, "content-type": "application/json", "x-request-id": "r1"}
        for name, value in {**pairs, **{name.replace("_", "-"): value for name, value in headers.items()}}.items():
            request.request_headers.headers.headers.add(key=name, raw_value=value.encode())
        request.request_headers.end_of_stream = end
        if mode is not None:
            request.protocol_config.request_body_mode = pb.ProtocolConfiguration(
                request_body_mode=mode
            ).request_body_mode
        if subset is not None:
            hint = request.metadata_context.filter_metadata["envoy.lb.subset_hint"]
            hint.update({"x-gateway-destination-endpoint-subset": subset})
        self.send(request)

    def body(self, data: bytes, *, end: bool = True) -> None:
        self.send(pb.ProcessingRequest(request_body=pb.HttpBody(body=data, end_of_stream=end)))

    def response_headers(self, status: int = 200, *, end: bool = False, served: str = "", **headers: str) -> None:
        request = pb.ProcessingRequest()
        for name, value in {":status": str(status), **{k.replace("_", "-"): v for k, v in headers.items()}}.items():
            request.response_headers.headers.headers.add(key=name, raw_value=value.encode())
        request.response_headers.end_of_stream = end
        if served:
            request.metadata_context.filter_metadata["envoy.lb"].update(
                {"x-gateway-destination-endpoint-served": served}
            )
        self.send(request)

    def response_body(self, data: bytes, *, end: bool = False) -> None:
        self.send(pb.ProcessingRequest(response_body=pb.HttpBody(body=data, end_of_stream=end)))

    def reply(self) -> pb.ProcessingResponse:
        return pb.ProcessingResponse.FromString(next(self._replies))

    def replies(self, count: int) -> list[pb.ProcessingResponse]:
        return [self.reply() for _ in range(count)]

    def rest(self) -> Iterator[pb.ProcessingResponse]:
        """Return what still comes until the server ends the stream.  Raises grpc.RpcError when it ends in an error."""
        return map(pb.ProcessingResponse.FromString, self._replies)

    def immediate(self) -> "Immediate":
        """The immediate response, whatever continue-replies came before it."""
        for reply in itertools.chain(map(pb.ProcessingResponse.FromString, self._replies)):
            if reply.HasField("immediate_response"):
                return Immediate(reply.immediate_response)
        raise AssertionError("no immediate response")

    def routed(self) -> pb.ProcessingResponse:
        """The reply that carries the destination."""
        for reply in map(pb.ProcessingResponse.FromString, self._replies):
            assert not reply.HasField("immediate_response"), reply
            if reply.dynamic_metadata.fields:
                return reply
        raise AssertionError("no destination")

    def finish(self) -> None:
        """End the stream from Envoy's side."""
        self._outgoing.put(_END)

    def cancel(self) -> None:
        """Reset the stream, as Envoy does when the client leaves."""
        self._outgoing.put(_END)
        self._replies.cancel()


class Immediate:
    """An immediate response, read."""

    def __init__(self, response: pb.ImmediateResponse) -> None:
        self.status = response.status.code
        self.headers = set_headers(response.headers)
        self.json = orjson.loads(response.body)


def set_headers(mutation: pb.HeaderMutation) -> dict[str, str]:
    """Name to value."""
    return {option.header.key: option.header.raw_value.decode() for option in mutation.set_headers}


def mutation_of(reply: pb.ProcessingResponse) -> pb.HeaderMutation:
    """The header mutation of whichever phase the reply is for."""
    phase = reply.WhichOneof("response")
    assert phase is not None
    mutation: pb.HeaderMutation = getattr(reply, phase).response.header_mutation
    return mutation


def metadata_of(reply: pb.ProcessingResponse) -> dict[str, dict[str, str]]:
    """Dynamic metadata as plain dictionaries."""
    return {
        namespace: {key: value.string_value for key, value in struct.struct_value.fields.items()}
        for namespace, struct in reply.dynamic_metadata.fields.items()
    }
