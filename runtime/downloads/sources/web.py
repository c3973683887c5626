"""One file at an HTTP address: `http://`, `https://`.

Lives here: asking for its size, version and digest.  Not here: fetching it (runtime.downloads.fetching).
"""

import re
from collections.abc import Mapping

import httpx

from runtime.downloads.checksums import from_base64
from runtime.downloads.files import Address, Checksum, Listing, RemoteFile
from runtime.downloads.locations import Location, name_of
from runtime.downloads.settings import Variables
from runtime.downloads.transfer import Retrying, Transfer

RFC_9530 = re.compile(r"\b(sha-256|sha-512)=:([A-Za-z0-9+/=]+):")
RFC_3230 = re.compile(r"\b(sha-256|sha-512)=([A-Za-z0-9+/=]+)", re.IGNORECASE)
GOOGLE = re.compile(r"\b(md5)=([A-Za-z0-9+/=]+)")
HEADERS = (("repr-digest", RFC_9530), ("digest", RFC_3230), ("x-goog-hash", GOOGLE))
"""Headers that have a digest of the whole file, also where a part was asked for."""


class Web:
    """A file at an address; `token` of the options is sent as bearer token, `sha256` is compared."""

    def __init__(self, location: Location, variables: Variables, transfer: Transfer, retrying: Retrying) -> None:
        self._name = name_of(location.uri)
        self._sha256 = variables.get("http_sha256").lower()
        token = variables.get("http_token")
        self._address = Address(location.uri, {"authorization": f"Bearer {token}"} if token else {})
        self._transfer = transfer
        self._retrying = retrying
        self._checksum: Checksum | None = None

    def listing(self) -> Listing:
        """Ask for the first byte, because a signed address answers nothing but GET."""
        return Listing([self._retrying.call(self._ask)], is_folder=False)

    def address(self, file: RemoteFile) -> Address:  # noqa: ARG002 - it has one file
        """Return the address."""
        return self._address

    def checksum(self, file: RemoteFile) -> Checksum | None:  # noqa: ARG002 - as above
        """Return the digest of the options, or else the one that the answer has."""
        return Checksum("sha256", self._sha256) if self._sha256 else self._checksum

    def _ask(self) -> RemoteFile:
        with self._transfer.answer(self._address, 0, 1) as response:
            headers = response.headers
            self._checksum = digest_in(headers)
            has_ranges = response.status_code != httpx.codes.OK
            etag = headers.get("etag", "")
            version = f"{etag} {headers.get('last-modified', '')}".strip()
            return RemoteFile(self._name, "", size_of(response), version, etag, has_ranges)


def size_of(response: httpx.Response) -> int | None:
    """Return the size of the whole file, of which an answer has all or a part; None where it does not say."""
    headers = response.headers
    if response.status_code == httpx.codes.OK:
        text = headers.get("content-length", "") if "content-encoding" not in headers else ""
    else:
        text = headers.get("content-range", "").rpartition("/")[2]
    return int(text) if text.isdecimal() else None


def digest_in(headers: Mapping[str, str]) -> Checksum | None:
    """Return the digest of the whole file that an answer's headers have."""
    for name, pattern in HEADERS:
        if match := pattern.search(headers.get(name, "")):
            return from_base64(match[1].lower().replace("-", ""), match[2])
    return None
