"""Envoy's access-log messages as values.

Lives here: decoding of StreamAccessLogsMessage.  Not here: what is settled with them (ledger).
"""

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct

from gateway.names import EXCHANGE_KEY, EXCHANGE_NAMESPACE, USAGE_NAMESPACE
from gateway.openai.usage import usage_of
from gateway.settlement import Seen
from proto import access_log_pb2 as data
from proto import access_log_service_pb2 as service

_BROKEN_OFF = (
    "upstream_connection_termination",
    "upstream_remote_reset",
    "upstream_protocol_error",  # a chunked answer that ends before its last chunk: an engine that died in a stream
    "stream_idle_timeout",
    "duration_timeout",
)
"""Response flags under which an answer that has begun, and so has its status, is not whole."""


def decode(message: bytes) -> list[tuple[str, Seen]]:
    """Exchange id and end, of the entries that belong to one.  Raises ValueError when it is no such message."""
    try:
        batch = service.StreamAccessLogsMessage.FromString(message)
        return [finished for entry in batch.http_logs.log_entry if (finished := _finished(entry)) is not None]
    except DecodeError as error:
        raise ValueError("not a StreamAccessLogsMessage") from error


def numbers_in(metadata: Struct) -> dict[str, int]:
    """The fields that are whole numbers; null, text or infinity is unknown, not zero."""
    return {
        key: int(number)
        for key, value in metadata.fields.items()
        if (number := value.number_value).is_integer() and (number or value.HasField("number_value"))
    }


def _finished(entry: data.HTTPAccessLogEntry) -> tuple[str, Seen] | None:
    common = entry.common_properties
    metadata = common.metadata.filter_metadata
    if EXCHANGE_NAMESPACE not in metadata:
        return None
    numbers = numbers_in(Struct.FromString(metadata[USAGE_NAMESPACE])) if USAGE_NAMESPACE in metadata else {}
    flags = common.response_flags if common.HasField("response_flags") else None
    upstream = common.upstream_remote_address.socket_address
    return Struct.FromString(metadata[EXCHANGE_NAMESPACE]).fields[EXCHANGE_KEY].string_value, Seen(
        status=entry.response.response_code.value,
        usage=usage_of(numbers) if numbers else None,
        error_code=numbers.get("error_code"),
        cut=flags is not None and (flags.downstream_connection_termination or flags.downstream_remote_reset),
        broken=flags is not None and any(getattr(flags, flag) for flag in _BROKEN_OFF),
        response_bytes=entry.response.response_body_bytes,
        duration_s=common.duration.seconds + common.duration.nanos / 1e9 if common.HasField("duration") else None,
        upstream=f"{upstream.address}:{upstream.port_value}" if upstream.port_value else "",
    )
