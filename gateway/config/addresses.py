"""Network addresses as text: `host:port` with IPv6 in brackets, HTTP paths and Redis URLs.

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
    """Split `host:port` into host, without brackets, and port.  Raises ValueError that states the rule."""
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > MAX_PORT or (match["v6"] and not is_ip(match["v6"])):
        message = f"must be host:port with a port of 0 to {MAX_PORT}, IPv6 in brackets"
        raise ValueError(message)
    return match["v6"] or match["name"], int(match["port"])


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
    """Return the address if it is `host:port`, else raise ValueError."""
    split_address(address)
    return address


def endpoint_address(address: str) -> str:
    """Return the address if it is `ip:port`, else raise ValueError.

    Envoy's `override_host` compares IP addresses, so a host name would never match.
    """
    host, port = split_address(address)
    if not is_ip(host) or port == 0:
        message = f"must be ip:port with a port of 1 to {MAX_PORT}, IPv6 in brackets"
        raise ValueError(message)
    return address


def http_path(path: str) -> str:
    """Return the path if it can stand in a request line, else raise ValueError."""
    if not _PATH.fullmatch(path):
        message = "must begin with / and hold no blanks"
        raise ValueError(message)
    return path


def redis_url(url: str) -> str:
    """Return the URL if the Redis client can use it, else raise ValueError."""
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
    """Replace the credentials in URLs: `redis://user:secret@host` becomes `redis://***@host`."""
    return _CREDENTIALS.sub("://***@", text)
