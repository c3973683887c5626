"""Envoy's access-log messages as values.

Lives here: decoding of StreamAccessLogsMessage.  Not here: what is settled with them (ledger).
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

_BROKEN_OFF = (
    "upstream_connection_termination",
    "upstream_remote_reset",
    "upstream_protocol_error",  # a chunked answer that ends before its last chunk: an engine that died in a stream
    "stream_idle_timeout",
    "duration_timeout",
)
"""Response flags under which an answer that has begun, and so has its status, is not whole."""
_FAILED = ("upstream_connection_failure", "upstream_connection_termination", "upstream_remote_reset")
"""Those of an attempt for which the engine was not there (gateway.envoy.access_logs asks for them)."""


class AccessLogBatch(NamedTuple):
    """What a batch of entries says."""

    ends: Sequence[tuple[str, ObservedEnd]]  # exchange id and end
    failed: Set[str]  # `ip:port` of engines that failed an attempt, whatever became of its request


def decode(message: bytes) -> AccessLogBatch:
    """Return what the entries tell; one without an exchange is an attempt.

    Raises ValueError when it is no StreamAccessLogsMessage.
    """
    ends, failed = [], set()
    try:
        for entry in service.StreamAccessLogsMessage.FromString(message).http_logs.log_entry:
            common = entry.common_properties
            metadata = common.metadata.filter_metadata
            if EXCHANGE_NAMESPACE in metadata:
                exchange = Struct.FromString(metadata[EXCHANGE_NAMESPACE]).fields[EXCHANGE_KEY].string_value
                ends.append((exchange, _seen(entry)))
            elif any(getattr(common.response_flags, flag) for flag in _FAILED):
                failed.add(_upstream(common))
    except DecodeError as error:
        raise ValueError("not a StreamAccessLogsMessage") from error
    return AccessLogBatch(ends, failed - {""})


def numbers_in(metadata: Struct) -> dict[str, int]:
    """The fields that are whole numbers; null, text or infinity is unknown, not zero."""
    return {
        key: int(number)
        for key, value in metadata.fields.items()
        if (number := value.number_value).is_integer() and (number or value.HasField("number_value"))
    }


def _seen(entry: data.HTTPAccessLogEntry) -> ObservedEnd:
    common = entry.common_properties
    metadata = common.metadata.filter_metadata
    numbers = numbers_in(Struct.FromString(metadata[USAGE_NAMESPACE])) if USAGE_NAMESPACE in metadata else {}
    flags = common.response_flags if common.HasField("response_flags") else None
    return ObservedEnd(
        status=entry.response.response_code.value,
        usage=parse_usage(numbers) if numbers else None,
        error_code=numbers.get("error_code"),
        cut=flags is not None and (flags.downstream_connection_termination or flags.downstream_remote_reset),
        broken=flags is not None and any(getattr(flags, flag) for flag in _BROKEN_OFF),
        response_bytes=entry.response.response_body_bytes,
        duration_s=_upstream_s(common),
        upstream=_upstream(common),
    )


def _upstream_s(common: data.AccessLogCommon) -> float | None:
    """What the engine that answered took.  The request may have waited in the gateway before, or failed elsewhere."""
    began, ended = common.time_to_first_upstream_tx_byte, common.time_to_last_upstream_rx_byte
    if not (common.HasField("time_to_first_upstream_tx_byte") and common.HasField("time_to_last_upstream_rx_byte")):
        return None
    return ended.seconds - began.seconds + (ended.nanos - began.nanos) / 1e9


def _upstream(common: data.AccessLogCommon) -> str:
    upstream = common.upstream_remote_address.socket_address
    return f"{upstream.address}:{upstream.port_value}" if upstream.port_value else ""
