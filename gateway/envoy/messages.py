"""The few shapes that every part of an Envoy configuration is made of, as plain dictionaries.

Lives here: typed extensions, addresses, durations, header options.  Not here: what they configure (the neighbours).
"""

from typing import Any, TypeAlias

from gateway.config.addresses import split_address

Json: TypeAlias = dict[str, Any]

_TYPE_PREFIX = "type.googleapis.com/"
# Envoy takes IP addresses only; what a listener binds as a wildcard is reached on loopback.
_BIND_HOSTS = {"localhost": "127.0.0.1"}
_CONNECT_HOSTS = {**_BIND_HOSTS, "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


def extension(name: str, type_name: str, **fields: Any) -> Json:
    """A named typed extension: `type_name` is the protobuf message without its URL prefix."""
    return {"name": name, "typed_config": message(type_name, **fields)}


def message(type_name: str, **fields: Any) -> Json:
    """A protobuf message packed into an Any."""
    return {"@type": _TYPE_PREFIX + type_name, **fields}


def bind_address(address: str) -> Json:
    """Where a listener binds."""
    host, port = split_address(address)
    return _socket_address(_BIND_HOSTS.get(host, host), port)


def connect_address(address: str) -> Json:
    """Where a cluster connects."""
    host, port = split_address(address)
    return _socket_address(_CONNECT_HOSTS.get(host, host), port)


def _socket_address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def duration(seconds: float) -> str:
    """Protobuf's JSON form of a duration, with millisecond precision."""
    return f"{seconds:.3f}s"


def set_header(name: str, value: str) -> Json:
    """Overwrite or add; Envoy leaves the header as it is when `value` formats to nothing."""
    return {"append_action": "OVERWRITE_IF_EXISTS_OR_ADD", "header": {"key": name, "value": value}}
