"""Network addresses as text: `host:port` with IPv6 in brackets, HTTP paths and Redis URLs.

Lives here: parsing and checking.  Not here: name resolution, sockets.
"""

import re
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from urllib.parse import parse_qs, urlsplit

MAX_PORT = 65535
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")

_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared, not bound
_HOST_OF = {"localhost": "127.0.0.1"}
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
"""A serialised origin (RFC 6454 section 6.2)."""
_NAME = re.compile(r"(?!(.*\.)?[0-9]+\Z)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9.])?")
"""A host name; its last label is no number, or it would be an IPv4 address (RFC 1123 section 2.1)."""
_PATH = re.compile(r"/[!-~]*")
_CREDENTIALS = re.compile(r"://.*@", re.DOTALL)
"""To the last `@`, because a password that was not percent-encoded may contain any of `@/?#`."""
_SECRET_OPTION = re.compile(r"(?<=password=)[^&]*")
_DATABASE = re.compile(r"/?[0-9]{0,9}")


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port` into host, without brackets, and port.  Raises ValueError that states the rule."""
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > MAX_PORT or (match["v6"] and not is_ip(match["v6"])):
        message = f"must be host:port with a port of 0 to {MAX_PORT}, IPv6 in brackets"
        raise ValueError(message)
    return match["v6"] or match["name"], int(match["port"])


def joined_address(host: str, port: int) -> str:
    """Join what `split_address` splits."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_ip(host: str) -> bool:
    """Return whether `host` is an IPv4 or IPv6 address and not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`; the only name that is trusted to mean so is `localhost`."""
    return ip_address(host).is_loopback if is_ip(host) else host == "localhost"


def reachable_address(address: str) -> str:
    """Return where this machine reaches a listener on `address`: one on all addresses is reached on loopback."""
    host, port = split_address(address)
    return f"{_LOOPBACK_OF[host]}:{port}" if host in _LOOPBACK_OF else address


def listen_address(address: str) -> str:
    """Return the address, written as Envoy writes it, if it is `ip:port` or `localhost:port`, else raise ValueError.

    Envoy takes no other name for its own listeners or for the gateway's.
    """
    return _written_alike(address, "ip:port or localhost:port", lambda host: host == "localhost")


def endpoint_address(address: str) -> str:
    """Return the address, written as Envoy writes it, if it is `ip:port`, else raise ValueError.

    Envoy's `override_host` compares IP addresses as text, so a host name or another spelling would never match.
    """
    return _written_alike(address, "ip:port", lambda host: False)  # noqa: ARG005 - no name is allowed


def gateway_address(address: str) -> str:
    """Return the address, written as Envoy writes it, if it is `host:port`, else raise ValueError.

    Envoy resolves a name, which may stand for several gateways.
    """
    return _written_alike(address, "host:port", lambda host: bool(_NAME.fullmatch(host)))


def _written_alike(address: str, allowed: str, is_allowed: Callable[[str], bool]) -> str:
    try:
        host, port = split_address(address)
    except ValueError:
        host, port = "", 0
    if port == 0 or not (is_ip(host) or is_allowed(host)):
        message = f"must be {allowed} with a port of 1 to {MAX_PORT}, IPv6 in brackets"
        raise ValueError(message)
    return f"{_spelt_as_by_envoy(host)}:{port}"


def _spelt_as_by_envoy(host: str) -> str:
    if ":" not in host:
        return host
    address = IPv6Address(host)
    return f"[::ffff:{address.ipv4_mapped}]" if address.ipv4_mapped else f"[{address}]"


def overlap(one: str, other: str) -> bool:
    """Return whether listeners on two addresses would take the same connections: same port, same or all hosts."""
    (host, port), (other_host, other_port) = split_address(one), split_address(other)
    hosts = {_HOST_OF.get(host, host), _HOST_OF.get(other_host, other_host)}
    return port == other_port and (len(hosts) == 1 or not hosts.isdisjoint(_LOOPBACK_OF))


def http_path(path: str) -> str:
    """Return the path if it can stand in a request line, else raise ValueError."""
    if not _PATH.fullmatch(path):
        message = "must begin with / and hold no blanks"
        raise ValueError(message)
    return path


def web_origin(origin: str) -> str:
    """Return the origin if a browser could send it in the header `origin`, or if it is `*`, else raise ValueError."""
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        message = "must be scheme://host or scheme://host:port in lower case, without a path, or *"
        raise ValueError(message)
    return origin


def redis_url(url: str) -> str:
    """Return the URL if the Redis client can use it, else raise ValueError."""
    if not url.startswith(REDIS_SCHEMES):
        message = f"must start with {', '.join(REDIS_SCHEMES)}"
        raise ValueError(message)
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0 and "@" not in parts.path
    except ValueError:
        has_port = False
    if not has_port:
        message = f"must have a port of 1 to {MAX_PORT}, and @/?# in a password percent-encoded"
        raise ValueError(message)
    _check_redis_place(parts.scheme, parts.hostname or "", parts.path)
    options = parse_qs(parts.query, keep_blank_values=True)
    if parts.fragment or options.keys() - {"db"}:
        message = "must have no options but db"
        raise ValueError(message)
    if not all(value.isdecimal() for value in options.get("db", ())):
        message = "must have a whole number as database"
        raise ValueError(message)
    return url


def _check_redis_place(scheme: str, host: str, path: str) -> None:
    """Raise ValueError unless there is a host and a number, or for a Unix socket its path."""
    if scheme == "unix":
        if not path.startswith("/"):
            message = "must have the path of a socket, unix:///path"
            raise ValueError(message)
    elif not host:
        message = "must name a host"
        raise ValueError(message)
    elif not _DATABASE.fullmatch(path):
        message = "must end with a whole number as database, such as /0"
        raise ValueError(message)


def redis_database(url: str) -> int:
    """Return the number of the database that a Redis URL names, 0 when it names none."""
    parts = urlsplit(url)
    named = parse_qs(parts.query).get("db", [""])[0] or (parts.path.lstrip("/") if parts.scheme != "unix" else "")
    return int(named or 0)


def without_credentials(text: str) -> str:
    """Replace the credentials in a URL: `redis://user:secret@host` becomes `redis://***@host`."""
    return _SECRET_OPTION.sub("***", _CREDENTIALS.sub("://***@", text))
