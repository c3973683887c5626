"""The wire format: Envoy's protobuf messages to events, commands to Envoy's messages.

Lives here: decoding ProcessingRequest, encoding commands; no other module of this package uses protobuf.
Not here: what the messages mean (exchange).
Header values are written to `raw_value`: Envoy may take a reply's `value` for empty.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from struct import pack
from typing import Final

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct, Value

from gateway.envoy.names import (
    API_NAMESPACE,
    API_POOL,
    DESTINATION,
    LB_NAMESPACE,
    REFUSAL_DETAILS,
    UPSTREAM_ADDRESS_ATTRIBUTE,
)
from gateway.extproc.commands import (
    CONTINUE,
    BodyReply,
    Command,
    HeadersReply,
    ImmediateReply,
    Mutation,
    Side,
    StreamedBodyReply,
    TrailersReply,
    WithCost,
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
from gateway.pb import core_pb2 as core
from gateway.pb import ext_proc_pb2 as pb

SUBSET_NAMESPACE = "envoy.lb.subset_hint"
SUBSET_KEY = f"{DESTINATION}-subset"
SERVED_KEY = f"{DESTINATION}-served"
COST_KEY = "x-gateway-inference-request-cost"
"""Names of the endpoint-picker protocol (Gateway API Inference Extension, proposal 004)."""


def _varint(number: int) -> bytes:
    groups = []
    while number >= 0x80:  # noqa: PLR2004  seven bits per byte
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*groups, number))


BODY_MODES: Mapping[int, BodyMode] = {mode.value: mode for mode in BodyMode}
REQUEST_HEADERS: Final = b"\x0a"
RESPONSE_HEADERS: Final = b"\x12"
REQUEST_BODY: Final = b"\x1a"
RESPONSE_BODY: Final = b"\x22"
RESPONSE: Final = b"\x0a"
CONTINUE_AND_REPLACE: Final = b"\x08\x01"
HEADER_MUTATION: Final = b"\x12"
CLEAR_ROUTE_CACHE: Final = b"\x28\x01"
"""Tags of fields: ProcessingResponse.request_headers 1, response_headers 2, request_body 3 and response_body 4;
HeadersResponse.response and BodyResponse.response 1; CommonResponse.header_mutation 2 and, with their values, status 1
and clear_route_cache 5."""
STRUCT_FIELD: Final = b"\x0a"
ENTRY_KEY: Final = b"\x0a"
ENTRY_VALUE: Final = b"\x12"
TEXT_VALUE: Final = b"\x1a"
STRUCT_VALUE: Final = b"\x2a"
DYNAMIC_METADATA: Final = b"\x42"
"""Tags of fields: Struct.fields 1, a map entry's key 1 and value 2, Value.string_value 3 and .struct_value 5,
ProcessingResponse.dynamic_metadata 8."""
SHORT_LENGTHS: Final = [_varint(size) for size in range(1024)]
"""Encoded lengths, so that nearly none is computed: a response's metadata has some 600 bytes."""
CACHE_SIZE = 8192
"""Serialised pieces kept per cache (chosen: limits and strategies recur, but each id comes once and evicts others)."""
MAX_CACHED_CHARACTERS: Final = 256
"""Characters of a header's value that is kept, so that clients with long ids of their own cannot fill the memory."""
CONTINUE_BYTES: Final = pb.ProcessingResponse(
    request_headers=pb.HeadersResponse(response=pb.CommonResponse())
).SerializeToString()
_COST = Value(struct_value=Struct(fields={COST_KEY: Value(number_value=0.0)}))
BEFORE_COST: Final = pb.ProcessingResponse(dynamic_metadata=Struct(fields={LB_NAMESPACE: _COST})).SerializeToString()[
    : -len(pack("<d", 0.0))
]
"""A serialised ProcessingResponse with a cost as metadata and nothing else, up to the number itself."""
OVERWRITE = core.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


class MalformedMessageError(Exception):
    """The bytes are no ProcessingRequest, or one without content."""


def decode(message: bytes) -> Event:
    """Return a serialised ProcessingRequest as an event.  Raises MalformedMessageError."""
    try:
        request = pb.ProcessingRequest.FromString(message)
    except DecodeError as error:
        raise MalformedMessageError("not a ProcessingRequest") from error
    match request.WhichOneof("request"):
        case "request_headers":
            return _request_headers(request, len(message))
        case "request_body":
            body = request.request_body
            return RequestBody(body.body, body.end_of_stream or body.end_of_stream_without_message)
        case "request_trailers":
            return RequestTrailers()
        case "response_headers":
            part = request.response_headers
            mode = _modes(request)[1]
            return ResponseHeaders(_headers(part.headers), part.end_of_stream, _upstream(request), mode)
        case "response_body":
            body = request.response_body
            return ResponseBody(body.body, body.end_of_stream or body.end_of_stream_without_message)
        case "response_trailers":
            return ResponseTrailers()
        case _:
            raise MalformedMessageError("ProcessingRequest has no content")


def _request_headers(request: pb.ProcessingRequest, size_bytes: int) -> RequestHeaders:
    part = request.request_headers
    headers, count = _headers(part.headers), len(part.headers.headers)
    subset, api_pool = None, ""
    if request.HasField("metadata_context"):
        subset, api_pool = _subset(request), _api_pool(request)
    return RequestHeaders(headers, part.end_of_stream, *_modes(request), subset, count, size_bytes, api_pool)


def _modes(request: pb.ProcessingRequest) -> tuple[BodyMode | None, BodyMode | None]:
    """Return the body modes of request and answer, which Envoy says in the first message of a stream."""
    if not request.HasField("protocol_config"):
        return None, None
    config = request.protocol_config
    return BODY_MODES.get(config.request_body_mode), BODY_MODES.get(config.response_body_mode)


def _headers(header_map: core.HeaderMap) -> dict[str, str]:
    pairs = header_map.headers
    try:
        headers = {header.key.lower(): header.raw_value.decode() or header.value for header in pairs}
    except UnicodeDecodeError:
        headers = {}
    return headers if len(headers) == len(pairs) else _joined(pairs)


def _joined(pairs: Sequence[core.HeaderValue]) -> dict[str, str]:
    """Return headers some of which repeat or are not UTF-8; values of repeated ones are joined by commas."""
    values: dict[str, list[str]] = {}
    for header in pairs:
        values.setdefault(header.key.lower(), []).append(_text(header.raw_value) or header.value)
    return {key: ",".join(repeated) for key, repeated in values.items()}


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
        texts = [item.string_value for item in value.list_value.values]
    else:
        texts = [value.string_value]
    return frozenset(address.strip() for text in texts for address in text.split(",")) - {""}


def _api_pool(request: pb.ProcessingRequest) -> str:
    """Return the pool whose listener inside Envoy asks, which only our own configuration can say."""
    namespace = request.metadata_context.filter_metadata.get(API_NAMESPACE)
    return namespace.fields[API_POOL].string_value if namespace is not None and API_POOL in namespace.fields else ""


def _upstream(request: pb.ProcessingRequest) -> str | None:
    """Return the address that answered, from the endpoint-picker protocol's metadata, else from Envoy's attributes."""
    if request.HasField("metadata_context"):
        namespace = request.metadata_context.filter_metadata.get(LB_NAMESPACE)
        if namespace is not None and SERVED_KEY in namespace.fields:
            return namespace.fields[SERVED_KEY].string_value or None
    for attributes in request.attributes.values():  # has one entry, by the filter's name
        if UPSTREAM_ADDRESS_ATTRIBUTE in attributes.fields:
            return attributes.fields[UPSTREAM_ADDRESS_ATTRIBUTE].string_value or None
    return None


def encode(command: Command) -> bytes:
    """Return one reply as a serialised ProcessingResponse.  Raises TypeError for a command that is no reply."""
    if command is CONTINUE:
        return CONTINUE_BYTES
    if isinstance(command, BodyReply):
        return _mutated(REQUEST_BODY if command.side is Side.REQUEST else RESPONSE_BODY, command.mutation, command.body)
    if isinstance(command, HeadersReply):
        phase = REQUEST_HEADERS if command.side is Side.REQUEST else RESPONSE_HEADERS
        replacing = b"" if command.body is None else CONTINUE_AND_REPLACE
        return _mutated(phase, command.mutation, command.body, replacing)
    if isinstance(command, WithCost):
        return encode(command.reply) + BEFORE_COST + pack("<d", command.tokens)
    response = pb.ProcessingResponse()
    match command:
        case StreamedBodyReply(side, data, end_of_stream):
            reply = response.request_body if side is Side.REQUEST else response.response_body
            piece = reply.response.body_mutation.streamed_response
            piece.SetInParent()
            piece.body, piece.end_of_stream = data, end_of_stream
        case TrailersReply(side):
            (response.request_trailers if side is Side.REQUEST else response.response_trailers).SetInParent()
        case ImmediateReply(status, headers, data):
            immediate = response.immediate_response
            immediate.status.code, immediate.body, immediate.details = status, data, REFUSAL_DETAILS
            immediate.headers.MergeFromString(_set_headers(headers))
        case _:
            raise TypeError(f"{type(command).__name__} is not a reply")
    return response.SerializeToString()


def _mutated(phase: bytes, mutation: Mutation, body: bytes | None = None, status: bytes = b"") -> bytes:
    """Return a serialised ProcessingResponse for `phase`, assembled as bytes like its metadata."""
    headers = _set_headers(mutation.set_headers)
    if mutation.remove_headers:
        headers += pb.HeaderMutation(remove_headers=mutation.remove_headers).SerializeToString()
    common = status + HEADER_MUTATION + _length(headers) + headers if headers else status
    if body is not None:
        common += pb.CommonResponse(body_mutation=pb.BodyMutation(body=body)).SerializeToString()
    if mutation.metadata:
        common += CLEAR_ROUTE_CACHE  # because routes may match headers that are set here
    part = RESPONSE + _length(common) + common
    return phase + _length(part) + part + (_metadata(mutation.metadata) if mutation.metadata else b"")


def _set_headers(headers: Mapping[str, str]) -> bytes:
    """Return a serialised HeaderMutation that sets `headers`."""
    return b"".join([
        _cached_option(key, value) if len(value) <= MAX_CACHED_CHARACTERS else _header_option(key, value)
        for key, value in headers.items()
    ])  # fmt: skip


def _header_option(key: str, value: str) -> bytes:
    mutation = pb.HeaderMutation()
    option = mutation.set_headers.add()
    option.append_action = OVERWRITE
    option.header.key, option.header.raw_value = key, value.encode()
    return mutation.SerializeToString()


_cached_option = lru_cache(maxsize=CACHE_SIZE)(_header_option)


def _metadata(namespaces: Mapping[str, Mapping[str, str]]) -> bytes:
    """Return a serialised ProcessingResponse with dynamic metadata only, to append to one with the rest.

    It is assembled as bytes, at a fifth of the cost of filling messages: one response has some fifteen texts.
    """
    parts: list[bytes] = []
    for namespace, texts in namespaces.items():
        struct = _struct(texts)
        parts += (_before_value(namespace, STRUCT_VALUE, len(struct)), struct)
    struct = b"".join(parts)
    return DYNAMIC_METADATA + _length(struct) + struct


def _struct(texts: Mapping[str, str]) -> bytes:
    """Return a serialised Struct with one string field per text."""
    parts: list[bytes] = []
    for key, text in texts.items():
        raw = text.encode()
        parts += (_before_value(key, TEXT_VALUE, len(raw)), raw)
    return b"".join(parts)


@lru_cache(maxsize=CACHE_SIZE)
def _before_value(key: str, tag: bytes, size: int) -> bytes:
    """Return what stands before a value of so many bytes in a Struct: all of its entry but the value."""
    raw = key.encode()
    tagged = tag + _varint(size)
    entry = ENTRY_KEY + _length(raw) + raw + ENTRY_VALUE + _varint(len(tagged) + size) + tagged
    return STRUCT_FIELD + _varint(len(entry) + size) + entry


def _length(data: bytes) -> bytes:
    """Return the length prefix of a length-delimited field."""
    size = len(data)
    return SHORT_LENGTHS[size] if size < len(SHORT_LENGTHS) else _varint(size)
