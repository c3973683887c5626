"""Envoy's access-log messages as values.

Lives here: decoding StreamAccessLogsMessage.  Not here: settling requests by them (ledger), which entries Envoy sends
(gateway.envoy.access_logs).
"""

from collections.abc import Sequence, Set
from typing import NamedTuple

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct

from gateway.accounting.settlement import ObservedEnd
from gateway.envoy.names import EXCHANGE_KEY, EXCHANGE_NAMESPACE, USAGE_NAMESPACE
from gateway.openai.usage import parse_usage
from gateway.pb import access_log_pb2 as data
from gateway.pb import access_log_service_pb2 as service

_TRUNCATED = (
    "upstream_connection_termination",
    "upstream_remote_reset",
    "upstream_protocol_error",  # a chunked answer that ends before its last chunk: an engine that died in a stream
    "stream_idle_timeout",
    "duration_timeout",
)
"""Response flags of an answer that broke off after its headers, and so has a status."""
_ATTEMPT_FAILED = ("upstream_connection_failure", "upstream_connection_termination", "upstream_remote_reset")
"""Response flags of an attempt that the engine failed (gateway.envoy.access_logs filters by the same)."""


class AccessLogBatch(NamedTuple):
    """The content of one batch of entries."""

    ends: Sequence[tuple[str, ObservedEnd]]  # exchange id and end
    failed: Set[str]  # `ip:port` of engines that failed an attempt; a retry may still have been answered


def decode(message: bytes) -> AccessLogBatch:
    """Decode a serialised StreamAccessLogsMessage: entries with an exchange id are requests' ends, others attempts.

    Raises ValueError when the bytes are no such message.
    """
    ends, failed = [], set()
    try:
        for entry in service.StreamAccessLogsMessage.FromString(message).http_logs.log_entry:
            common = entry.common_properties
            metadata = common.metadata.filter_metadata
            if EXCHANGE_NAMESPACE in metadata:
                exchange_id = Struct.FromString(metadata[EXCHANGE_NAMESPACE]).fields[EXCHANGE_KEY].string_value
                ends.append((exchange_id, _observed_end(entry)))
            elif any(getattr(common.response_flags, flag) for flag in _ATTEMPT_FAILED):
                failed.add(_upstream_address(common))
    except DecodeError as error:
        raise ValueError("not a StreamAccessLogsMessage") from error
    return AccessLogBatch(ends, failed - {""})


def _integers(metadata: Struct) -> dict[str, int]:
    """Return the fields that are integers; null, text, fractions and infinity are unknown and left out, not zero."""
    return {
        key: int(number)
        for key, value in metadata.fields.items()
        if (number := value.number_value).is_integer() and (number or value.HasField("number_value"))
    }


def _observed_end(entry: data.HTTPAccessLogEntry) -> ObservedEnd:
    common = entry.common_properties
    metadata = common.metadata.filter_metadata
    numbers = _integers(Struct.FromString(metadata[USAGE_NAMESPACE])) if USAGE_NAMESPACE in metadata else {}
    flags = common.response_flags if common.HasField("response_flags") else None
    return ObservedEnd(
        status=entry.response.response_code.value,
        usage=parse_usage(numbers) if numbers else None,
        error_code=numbers.get("error_code"),
        client_left=flags is not None and (flags.downstream_connection_termination or flags.downstream_remote_reset),
        truncated=flags is not None and any(getattr(flags, flag) for flag in _TRUNCATED),
        response_bytes=entry.response.response_body_bytes,
        duration_s=_upstream_duration_s(common),
        upstream=_upstream_address(common),
    )


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
