"""The messages that every part of an Envoy configuration is made of, as plain dictionaries.

Lives here: typed extensions, addresses, durations, header options.  Not here: what they configure (the other modules).
"""

from typing import Any, TypeAlias

from gateway.config.addresses import reachable_address, split_address

Json: TypeAlias = dict[str, Any]

_TYPE_PREFIX = "type.googleapis.com/"
_IP_OF = {"localhost": "127.0.0.1"}
"""Envoy takes IP addresses only."""


def extension(name: str, type_name: str, **fields: Any) -> Json:
    """Return a named typed extension; `type_name` is the protobuf message's name without the URL prefix."""
    return {"name": name, "typed_config": message(type_name, **fields)}


def message(type_name: str, **fields: Any) -> Json:
    """Return a protobuf message packed into an Any."""
    return {"@type": _TYPE_PREFIX + type_name, **fields}


def bind_address(address: str) -> Json:
    """Return the address that a listener binds."""
    host, port = split_address(address)
    return {"socket_address": {"address": _IP_OF.get(host, host), "port_value": port}}


def connect_address(address: str) -> Json:
    """Return the address that a cluster connects to, for what listens on `address`."""
    return bind_address(reachable_address(address))


def duration(seconds: float) -> str:
    """Return a duration in protobuf's JSON form, to the millisecond."""
    return f"{seconds:.3f}s"


def set_header(name: str, value: str) -> Json:
    """Return the option that sets a header; Envoy leaves it as it is when `value` formats to nothing."""
    return {"append_action": "OVERWRITE_IF_EXISTS_OR_ADD", "header": {"key": name, "value": value}}
