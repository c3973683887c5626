"""Envoy's access-log messages as values.

Lives here: decoding of StreamAccessLogsMessage.  Not here: what is settled with them (ledger).
"""

from typing import NamedTuple

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct

from gateway.names import EXCHANGE_KEY, EXCHANGE_NAMESPACE, USAGE_NAMESPACE
from gateway.openai.usage import Usage, usage_of
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


class Finished(NamedTuple):
    """A request that is over, as Envoy saw it."""

    exchange: str
    status: int  # 0 = no answer reached the client
    upstream: str  # ip:port that answered; empty = none
    usage: Usage | None
    error_code: int | None  # an error event inside a stream
    client_gone: bool
    pod_broke_off: bool  # or fell silent
    response_bytes: int
    duration_s: float | None  # None = Envoy did not say


def decode(message: bytes) -> list[Finished]:
    """The entries of one message that belong to an exchange.  Raises ValueError when it is no such message."""
    try:
        batch = service.StreamAccessLogsMessage.FromString(message)
        return [finished for entry in batch.http_logs.log_entry if (finished := _finished(entry)) is not None]
    except DecodeError as error:
        raise ValueError("not a StreamAccessLogsMessage") from error


def numbers_in(metadata: Struct) -> dict[str, int]:
    """The fields that are whole numbers; null, text or infinity is unknown, not zero."""
    return {
        key: int(value.number_value)
        for key, value in metadata.fields.items()
        if value.WhichOneof("kind") == "number_value" and value.number_value.is_integer()
    }


def _finished(entry: data.HTTPAccessLogEntry) -> Finished | None:
    common = entry.common_properties
    metadata = common.metadata.filter_metadata
    if EXCHANGE_NAMESPACE not in metadata:
        return None
    numbers = numbers_in(Struct.FromString(metadata[USAGE_NAMESPACE])) if USAGE_NAMESPACE in metadata else {}
    flags = common.response_flags if common.HasField("response_flags") else None
    upstream = common.upstream_remote_address.socket_address
    return Finished(
        exchange=Struct.FromString(metadata[EXCHANGE_NAMESPACE]).fields[EXCHANGE_KEY].string_value,
        status=entry.response.response_code.value,
        upstream=f"{upstream.address}:{upstream.port_value}" if upstream.port_value else "",
        usage=usage_of(numbers) if numbers else None,
        error_code=numbers.get("error_code"),
        client_gone=flags is not None and (flags.downstream_connection_termination or flags.downstream_remote_reset),
        pod_broke_off=flags is not None and any(getattr(flags, flag) for flag in _BROKEN_OFF),
        response_bytes=entry.response.response_body_bytes,
        duration_s=common.duration.seconds + common.duration.nanos / 1e9 if common.HasField("duration") else None,
    )
