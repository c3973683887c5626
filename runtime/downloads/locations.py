"""URIs of artifacts: which source they are of, the name that they give, and how they are shown.

Lives here: taking URIs apart.  Not here: asking sources (runtime.downloads.sources).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from runtime.downloader import DownloadError

SCHEMES = {
    "hf": "hf", "huggingface": "hf", "s3": "s3", "tos": "tos", "gs": "gs", "gcs": "gs", "az": "az", "azure": "az",
    "http": "http", "https": "http", "file": "file",
}  # fmt: skip
"""Scheme of a URI -> the name of its source."""
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*(@[^/]+)?")
"""A Hub repository without a scheme, as AIBrix's command takes it."""
_BAD_REQUEST = 400


@dataclass(frozen=True, slots=True)
class Location:
    """A URI taken apart."""

    uri: str
    """As it was given; may hold credentials."""
    scheme: str
    """A value of SCHEMES."""
    root: str
    """Bucket, container or host; of the Hub the first component."""
    path: str
    """Below it, without a slash at its beginning."""


def parse(uri: str) -> Location:
    """Return a URI's parts.  Raises DownloadError for one that names no source."""
    uri = uri.strip()
    if uri.startswith(("/", "./", "../", "~")):
        return Location(uri, "file", "", uri)
    if REPOSITORY.fullmatch(uri):
        uri = f"hf://{uri}"
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise DownloadError(
            f"{shown(uri)!r} is of no known source: {known}, or a path with a slash first", _BAD_REQUEST
        )
    source = SCHEMES[scheme.lower()]
    if source == "file":
        return Location(uri, "file", "", unquote(rest.removeprefix("localhost")))
    if source == "http":
        return _http(uri)
    root, _, path = rest.partition("/")
    if not root:
        raise DownloadError(f"{shown(uri)!r} names no bucket", _BAD_REQUEST)
    return Location(uri, source, root, path)


def _http(uri: str) -> Location:
    try:
        parts = urlsplit(uri)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host = None
    if not host:
        raise DownloadError(f"{shown(uri)!r} names no host", _BAD_REQUEST)
    return Location(uri, "http", host, unquote(parts.path).lstrip("/"))


def name_of(uri: str) -> str:
    """Return the name that an artifact has where it is given none: the last component, without query and revision."""
    last = shown(uri.strip()).rstrip("/").rpartition("/")[2]
    is_of_hub = SCHEMES.get(uri.strip().partition("://")[0].lower()) == "hf" or REPOSITORY.fullmatch(uri.strip())
    return last.partition("@")[0] if is_of_hub else last


def local_path(location: Location) -> Path:
    """Return the path that a local URI names.  Raises DownloadError where nothing is there."""
    path = Path(location.path).expanduser()
    if not path.exists():
        raise DownloadError(f"{location.path}: there is no such file or folder", 404)
    return path.absolute()


def shown(uri: str) -> str:
    """Return a URI as people may see it: without user, password, query and fragment."""
    head, separator, rest = re.split(r"[?#]", uri, maxsplit=1)[0].partition("://")
    if not separator:
        return head
    authority, slash, path = rest.partition("/")
    if SCHEMES.get(head.lower()) != "hf":  # there an @ is followed by a revision
        authority = authority.rpartition("@")[2]
    return f"{head}://{authority}{slash}{path}"
