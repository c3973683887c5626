"""Network addresses as text: `host:port`, IPv6 in brackets, HTTP paths and Redis URLs.

Lives here: parsing and checking.  Not here: name resolution, sockets.
"""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

MAX_PORT = 65535
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")

_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared, not bound
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")
_PATH = re.compile(r"/[!-~]*")
_CREDENTIALS = re.compile(r"://[^/?#]*@")


def split_address(address: str) -> tuple[str, int]:
    """`host:port` -> (host, port), the host without brackets.  Raises ValueError that states the rule."""
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > MAX_PORT or (match["v6"] and not is_ip(match["v6"])):
        message = f"must be host:port with a port of 0 to {MAX_PORT}, IPv6 in brackets"
        raise ValueError(message)
    return match["v6"] or match["name"], int(match["port"])


def is_ip(host: str) -> bool:
    """Whether `host` is an IPv4 or IPv6 address and not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`.  Of names, only `localhost` is trusted to say so."""
    return ip_address(host).is_loopback if is_ip(host) else host == "localhost"


def reachable_address(address: str) -> str:
    """Return where this machine reaches a listener on `address`: one on all addresses is reached on loopback."""
    host, port = split_address(address)
    return f"{_LOOPBACK_OF[host]}:{port}" if host in _LOOPBACK_OF else address


def listen_address(address: str) -> str:
    """The address itself when it is `host:port`; else ValueError."""
    split_address(address)
    return address


def endpoint_address(address: str) -> str:
    """The address itself when it is `ip:port`: Envoy's `override_host` compares IPs, names never match."""
    host, port = split_address(address)
    if not is_ip(host) or port == 0:
        message = f"must be ip:port with a port of 1 to {MAX_PORT}, IPv6 in brackets"
        raise ValueError(message)
    return address


def http_path(path: str) -> str:
    """The path itself when it can stand in a request line; else ValueError."""
    if not _PATH.fullmatch(path):
        message = "must begin with / and hold no blanks"
        raise ValueError(message)
    return path


def redis_url(url: str) -> str:
    """The URL itself when the Redis client can use it; else ValueError."""
    if not url.startswith(REDIS_SCHEMES):
        message = f"must start with {', '.join(REDIS_SCHEMES)}"
        raise ValueError(message)
    try:
        _ = urlsplit(url).port
    except ValueError:
        message = f"must have a port of 0 to {MAX_PORT}"
        raise ValueError(message) from None
    return url


def without_credentials(text: str) -> str:
    """`redis://user:secret@host` -> `redis://***@host`, for logs and error messages."""
    return _CREDENTIALS.sub("://***@", text)
