"""Between Envoy's protobuf and the exchange's values: the only module here that touches pb2.

Lives here: decoding of ProcessingRequest, encoding of commands.  Not here: what they mean (exchange).
Header values travel in `raw_value`: a `value` set on a reply may arrive empty in Envoy.
"""

from collections.abc import Iterable, Mapping

from google.protobuf.message import DecodeError

from gateway.extproc.commands import (
    BodyReply,
    Command,
    HeadersReply,
    ImmediateReply,
    Mutation,
    Side,
    StreamedBodyReply,
    TrailersReply,
)
from gateway.extproc.events import (
    BodyMode,
    Event,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
)
from proto import core_pb2 as core
from proto import ext_proc_pb2 as pb

SUBSET_NAMESPACE = "envoy.lb.subset_hint"
SUBSET_KEY = "x-gateway-destination-endpoint-subset"
LB_NAMESPACE = "envoy.lb"
SERVED_KEY = "x-gateway-destination-endpoint-served"
"""Names of Gateway API Inference Extension, proposal 004."""

BODY_MODES: Mapping[int, BodyMode] = {mode.value: mode for mode in BodyMode}
OVERWRITE = core.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


class MalformedMessageError(Exception):
    """Not a ProcessingRequest, or one without content."""


def decode(message: bytes) -> Event:
    """One ProcessingRequest as an event.  Raises MalformedMessageError."""
    try:
        request = pb.ProcessingRequest.FromString(message)
    except DecodeError as error:
        raise MalformedMessageError("not a ProcessingRequest") from error
    match request.WhichOneof("request"):
        case "request_headers":
            return _request_headers(request)
        case "request_body":
            body = request.request_body
            return RequestBody(body.body, body.end_of_stream or body.end_of_stream_without_message)
        case "request_trailers":
            return RequestTrailers()
        case "response_headers":
            part = request.response_headers
            return ResponseHeaders(_headers(part.headers), part.end_of_stream, _served(request))
        case "response_body":
            body = request.response_body
            return ResponseBody(body.body, body.end_of_stream or body.end_of_stream_without_message)
        case "response_trailers":
            return ResponseTrailers()
        case _:
            raise MalformedMessageError("ProcessingRequest names no phase")


def _request_headers(request: pb.ProcessingRequest) -> RequestHeaders:
    part = request.request_headers
    headers = _headers(part.headers)
    subset = _subset(request) if request.HasField("metadata_context") else None
    if not request.HasField("protocol_config"):
        return RequestHeaders(headers, part.end_of_stream, subset=subset)
    config = request.protocol_config
    request_mode, response_mode = _body_mode(config.request_body_mode), _body_mode(config.response_body_mode)
    return RequestHeaders(headers, part.end_of_stream, request_mode, response_mode, subset)


def _body_mode(number: int) -> BodyMode | None:
    return BODY_MODES.get(number)


def _headers(header_map: core.HeaderMap) -> dict[str, str]:
    headers: dict[str, str] = {}
    for header in header_map.headers:
        key = header.key.lower()
        value = _text(header.raw_value) if header.raw_value else header.value
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    return headers


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _subset(request: pb.ProcessingRequest) -> frozenset[str] | None:
    namespace = request.metadata_context.filter_metadata.get(SUBSET_NAMESPACE)
    if namespace is None or SUBSET_KEY not in namespace.fields:
        return None
    value = namespace.fields[SUBSET_KEY]
    if value.WhichOneof("kind") == "list_value":
        addresses: Iterable[str] = (item.string_value for item in value.list_value.values)
    else:
        addresses = value.string_value.split(",")
    return frozenset(address for given in addresses if (address := given.strip()))


def _served(request: pb.ProcessingRequest) -> str | None:
    if not request.HasField("metadata_context"):
        return None
    namespace = request.metadata_context.filter_metadata.get(LB_NAMESPACE)
    return (namespace.fields[SERVED_KEY].string_value or None) if namespace and SERVED_KEY in namespace.fields else None


def encode(command: Command) -> bytes:
    """One reply as a serialised ProcessingResponse.  Raises TypeError for a command that is no reply."""
    response = pb.ProcessingResponse()
    match command:
        case HeadersReply(side, mutation):
            part = response.request_headers if side is Side.REQUEST else response.response_headers
            _mutate(part.response, mutation, response)
        case BodyReply(side, mutation, body):
            reply = response.request_body if side is Side.REQUEST else response.response_body
            _mutate(reply.response, mutation, response)
            if body is not None:
                reply.response.body_mutation.body = body
        case StreamedBodyReply(side, data, end_of_stream):
            reply = response.request_body if side is Side.REQUEST else response.response_body
            piece = reply.response.body_mutation.streamed_response
            piece.SetInParent()
            piece.body, piece.end_of_stream = data, end_of_stream
        case TrailersReply(side):
            (response.request_trailers if side is Side.REQUEST else response.response_trailers).SetInParent()
        case ImmediateReply(status, headers, data):
            immediate = response.immediate_response
            immediate.status.code, immediate.body = status, data
            _set(immediate.headers, headers)
        case _:
            raise TypeError(f"{type(command).__name__} is not a reply")
    return response.SerializeToString()


def _mutate(part: pb.CommonResponse, mutation: Mutation, response: pb.ProcessingResponse) -> None:
    part.SetInParent()
    if mutation.set_headers:
        _set(part.header_mutation, mutation.set_headers)
    if mutation.remove_headers:
        part.header_mutation.remove_headers.extend(mutation.remove_headers)
    if mutation.metadata:
        part.clear_route_cache = True  # routes may match on what was just set
        for namespace, values in mutation.metadata.items():
            fields = response.dynamic_metadata.fields[namespace].struct_value.fields
            for key, value in values.items():
                fields[key].string_value = value


def _set(mutation: pb.HeaderMutation, headers: Mapping[str, str]) -> None:
    for key, value in headers.items():
        option = mutation.set_headers.add()
        option.append_action = OVERWRITE
        option.header.key, option.header.raw_value = key, value.encode()
