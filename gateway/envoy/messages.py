"""The few shapes that every part of an Envoy configuration is made of, as plain dictionaries.

Lives here: typed extensions, addresses, durations, header options.  Not here: what they configure (the neighbours).
"""

from typing import Any, TypeAlias

from gateway.config.addresses import reachable_address, split_address

Json: TypeAlias = dict[str, Any]

_TYPE_PREFIX = "type.googleapis.com/"
_IP_OF = {"localhost": "127.0.0.1"}
"""Envoy takes IP addresses only."""


def extension(name: str, type_name: str, **fields: Any) -> Json:
    """A named typed extension: `type_name` is the protobuf message without its URL prefix."""
    return {"name": name, "typed_config": message(type_name, **fields)}


def message(type_name: str, **fields: Any) -> Json:
    """A protobuf message packed into an Any."""
    return {"@type": _TYPE_PREFIX + type_name, **fields}


def bind_address(address: str) -> Json:
    """Return the address that a listener binds."""
    host, port = split_address(address)
    return {"socket_address": {"address": _IP_OF.get(host, host), "port_value": port}}


def connect_address(address: str) -> Json:
    """Return the address that a cluster connects to, for what listens on `address`."""
    return bind_address(reachable_address(address))


def duration(seconds: float) -> str:
    """Protobuf's JSON form of a duration, with millisecond precision."""
    return f"{seconds:.3f}s"


def set_header(name: str, value: str) -> Json:
    """Overwrite or add; Envoy leaves the header as it is when `value` formats to nothing."""
    return {"append_action": "OVERWRITE_IF_EXISTS_OR_ADD", "header": {"key": name, "value": value}}
