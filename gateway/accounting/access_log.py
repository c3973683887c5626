"""Envoy's access-log messages as values.

Lives here: decoding and encoding StreamAccessLogsMessage.  Not here: whose an entry is (deliveries), settling requests
by them (ledger), which entries Envoy sends (gateway.envoy.access_logs).
"""

from collections.abc import Sequence, Set
from typing import NamedTuple

import orjson
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct, Value

from gateway.accounting.carried import RESERVED_KEY, carried_reservation
from gateway.accounting.outcomes import ObservedEnd
from gateway.envoy.names import (
    COMPRESSION,
    ERROR_NAMESPACE,
    EXCHANGE_KEY,
    EXCHANGE_NAMESPACE,
    RETRY_AFTER,
    USAGE_NAMESPACE,
)
from gateway.openai.codings import is_coded
from gateway.openai.engine_errors import EngineError, error_in_event
from gateway.openai.usage import parse_usage
from gateway.pb import access_log_pb2 as data
from gateway.pb import access_log_service_pb2 as service
from ratelimit.limits import Reservation
from ratelimit.prices import Prices

_ATTEMPT_FAILED = frozenset({
    "upstream_connection_failure", "upstream_connection_termination", "upstream_remote_reset",
})  # fmt: skip
"""Response flags of an attempt that the engine failed (gateway.envoy.access_logs filters by the same)."""
_BROKEN = _ATTEMPT_FAILED | {"upstream_protocol_error"}  # a chunked answer that ends before its last chunk
"""Response flags of a request whose connection to the pod broke, before the answer or in it."""
_TIMED_OUT = frozenset({
    "upstream_request_timeout", "stream_idle_timeout", "duration_timeout", "upstream_max_stream_duration_reached",
})  # fmt: skip
"""Response flags of a request that Envoy gave up, before the answer or in it."""
_CLIENT_LEFT = frozenset({"downstream_connection_termination", "downstream_remote_reset"})
"""Response flags of a client that did not wait for the end."""
_NO_FLAGS: frozenset[str] = frozenset()
_FROM_POD = frozenset({"via_upstream", ""})
"""The response code's details where the status is a pod's; empty where Envoy does not tell."""
_READ_NAMESPACES = frozenset({EXCHANGE_NAMESPACE, USAGE_NAMESPACE, ERROR_NAMESPACE})
"""The dynamic metadata of an entry that is read here."""


TOO_MANY = 429
DEFAULT_RETRY_AFTER_S, MAX_RETRY_AFTER_S = 1.0, 3600.0
"""Seconds for which an API is left alone that does not say how long, and at most (chosen)."""


class Entry(NamedTuple):
    """The entry of a request's end, which is read only by whoever settles it."""

    exchange_id: str
    metadata: Struct  # what the request carried (carried)
    message: data.HTTPAccessLogEntry

    def end(self) -> ObservedEnd:
        """Return how the request ended."""
        return _observed_end(self.message)

    def reservation(self) -> tuple[Reservation, Prices] | None:
        """Return the reservation that the request carried, if any, and the prices at its admission."""
        return carried_reservation(self.metadata.fields[RESERVED_KEY].string_value)


class AccessLogBatch(NamedTuple):
    """The content of one batch of entries."""

    entries: Sequence[Entry]
    failed: Set[str]  # `ip:port` of engines that failed an attempt; a retry may still have been answered


def decode(message: bytes) -> AccessLogBatch:
    """Decode a serialised StreamAccessLogsMessage: entries with an exchange id are requests' ends, others attempts.

    Raises ValueError when the bytes are no such message.
    """
    entries, failed = [], set()
    try:
        for entry in service.StreamAccessLogsMessage.FromString(message).http_logs.log_entry:
            common = entry.common_properties
            metadata = common.metadata.filter_metadata
            if EXCHANGE_NAMESPACE in metadata:
                carried = Struct.FromString(metadata[EXCHANGE_NAMESPACE])
                entries.append(Entry(carried.fields[EXCHANGE_KEY].string_value, carried, entry))
            elif _flags(common) & _ATTEMPT_FAILED:
                failed.add(_upstream_address(common))
    except DecodeError as error:
        raise ValueError("not a StreamAccessLogsMessage") from error
    return AccessLogBatch(entries, failed - {""})


def encode(entries: Sequence[Entry]) -> bytes:
    """Serialise entries for another worker, as Envoy does: a format that every version reads.

    What nobody reads stays behind: half of the bytes, and what Envoy tells of the request beside.
    """
    message = service.StreamAccessLogsMessage()
    message.http_logs.log_entry.extend(entry.message for entry in entries)
    message.DiscardUnknownFields()
    for entry in message.http_logs.log_entry:
        metadata = entry.common_properties.metadata.filter_metadata
        for namespace in set(metadata) - _READ_NAMESPACES:
            del metadata[namespace]
    return message.SerializeToString()


def _numbers(metadata: Struct) -> dict[str, float]:
    """Return the fields that are numbers; null and text are unknown and left out, not zero."""
    fields, numbers = metadata.fields, {}
    for key in fields:  # whose `items` are a generator in Python
        value = fields[key]
        number = value.number_value
        if number or value.HasField("number_value"):
            numbers[key] = number
    return numbers


def _reported_error(lifted: Struct) -> EngineError | None:
    """Return the error that the members which Envoy's filters found report (gateway.envoy.filters)."""
    found = {path: _member(value) for path, value in lifted.fields.items()}
    error = found.get("error")
    if error is True:  # an object, whose members stand beside it
        error = {"code": found.get("error.code"), "type": found.get("error.type")}
    response = {"error": found.get("response.error"), "status": found.get("response.status")}
    return error_in_event({**found, "error": error, "response": response})


def _bytes_beside_error(response_bytes: int, lifted: Struct) -> int | None:
    """Return the bytes of a stream without those of the error in it; None = it is a JSON answer, which is the error."""
    if "error" in lifted.fields and lifted.fields["error"].bool_value:
        return None
    return response_bytes - sum(len(value.string_value.encode()) for value in lifted.fields.values())


def _member(value: Value) -> object:
    """Return a member's value; of an object its text is parsed, as which Envoy passes it on."""
    text = value.string_value
    if not text:
        return value.number_value if value.HasField("number_value") else value.bool_value
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return parsed if parsed is None or isinstance(parsed, dict) else text


def _observed_end(entry: data.HTTPAccessLogEntry) -> ObservedEnd:
    common, response = entry.common_properties, entry.response
    metadata = common.metadata.filter_metadata
    numbers = _numbers(Struct.FromString(metadata[USAGE_NAMESPACE])) if USAGE_NAMESPACE in metadata else {}
    lifted = Struct.FromString(metadata[ERROR_NAMESPACE]) if ERROR_NAMESPACE in metadata else None
    error = _reported_error(lifted) if lifted is not None else None
    flags = _flags(common)
    compressed = is_coded(response.response_headers.get(COMPRESSION, ""))
    response_bytes = None if compressed else response.response_body_bytes
    if error is not None and lifted is not None and response_bytes is not None:
        response_bytes = _bytes_beside_error(response_bytes, lifted)
    from_pod = response.response_code_details in _FROM_POD
    return ObservedEnd(
        status=response.response_code.value,
        usage=parse_usage(numbers) if numbers else None,
        error=error,
        client_left=bool(flags & _CLIENT_LEFT),
        broken=bool(flags & _BROKEN),
        timed_out=bool(flags & _TIMED_OUT),
        accepted=from_pod or common.upstream_wire_bytes_sent > 0,  # Envoy adds up the bytes of all attempts
        from_pod=from_pod,
        compressed=compressed,
        response_bytes=response_bytes,
        duration_s=_upstream_duration_s(common),
        upstream=_upstream_address(common),
        retry_after_s=_retry_after_s(response) if response.response_code.value == TOO_MANY else 0.0,
    )


def _retry_after_s(response: data.HTTPResponseProperties) -> float:
    """Return the seconds in `retry-after`, without which it is a second; dates are not read."""
    text = response.response_headers.get(RETRY_AFTER, "")
    return min(float(text), MAX_RETRY_AFTER_S) if text.isascii() and text.isdecimal() else DEFAULT_RETRY_AFTER_S


def _flags(common: data.AccessLogCommon) -> frozenset[str]:
    """Return the names of the response flags that are set; most requests have none."""
    if not common.HasField("response_flags"):
        return _NO_FLAGS
    return frozenset([field.name for field, _ in common.response_flags.ListFields()])


def _upstream_duration_s(common: data.AccessLogCommon) -> float | None:
    """Return the time of the attempt that was answered: without waiting in the gateway, and without failed attempts."""
    start, end = common.time_to_first_upstream_tx_byte, common.time_to_last_upstream_rx_byte
    if not (common.HasField("time_to_first_upstream_tx_byte") and common.HasField("time_to_last_upstream_rx_byte")):
        return None
    return end.seconds - start.seconds + (end.nanos - start.nanos) / 1e9


def _upstream_address(common: data.AccessLogCommon) -> str:
    """Return `ip:port` of the engine that was sent the request; empty when there was none."""
    address = common.upstream_remote_address.socket_address
    return f"{address.address}:{address.port_value}" if address.port_value else ""
