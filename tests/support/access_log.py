"""Access-log entries as Envoy fills them."""

from google.protobuf.struct_pb2 import Struct

from gateway.pb import access_log_pb2 as data


def put(entry: data.HTTPAccessLogEntry, namespace: str, **values: object) -> None:
    """Set dynamic metadata of an entry."""
    struct = Struct()
    struct.update(values)
    entry.common_properties.metadata.filter_metadata[namespace] = struct.SerializeToString()
