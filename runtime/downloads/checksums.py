"""Digests of files on the disk, by the algorithms that sources give digests in.

Lives here: computing and comparing.  Not here: a source's own notation (runtime.downloads.sources).
"""

import hashlib
import zlib
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from runtime.downloads.files import Checksum

BLOCK = 1 << 20
"""Bytes that are read at once."""


class Digest(Protocol):
    """A digest in the making, as hashlib has them."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes, in lower case."""


class Crc32:
    """CRC-32 as zlib's, in the shape of hashlib's objects."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        """Return the sum of all bytes."""
        return f"{self._value:08x}"


class Crc32c:
    """CRC-32C, in the shape of hashlib's objects."""

    def __init__(self) -> None:
        from google_crc32c import extend  # noqa: PLC0415 - an extra

        self._extend = extend
        self._value = 0

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""
        self._value = self._extend(self._value, data)

    def hexdigest(self) -> str:
        """Return the sum of all bytes."""
        return f"{self._value:08x}"


def _git(size: int) -> Digest:
    """Return git's name of a blob: SHA-1 of its length and its bytes (gitformat-pack)."""
    digest = hashlib.sha1(usedforsecurity=False)
    digest.update(b"blob %d\0" % size)
    return digest


ALGORITHMS: dict[str, Callable[[int], Digest]] = {
    "md5": lambda _: hashlib.md5(usedforsecurity=False),
    "sha1": lambda _: hashlib.sha1(usedforsecurity=False),
    "sha256": lambda _: hashlib.sha256(),
    "sha512": lambda _: hashlib.sha512(),
    "crc32": lambda _: Crc32(),
    "crc32c": lambda _: Crc32c(),
    "git": _git,
}
"""Algorithm -> a digest that has seen no bytes, given the size of the file."""


def from_base64(algorithm: str, text: str) -> Checksum | None:
    """Return the checksum that a header has in base64; None where the text is not base64."""
    try:
        return Checksum(algorithm, b64decode(text, validate=True).hex())
    except Base64Error:
        return None


def digest_of(path: Path, checksum: Checksum) -> str:
    """Return the digest of a file by the algorithm of `checksum`, to be compared with its value."""
    if checksum.algorithm == "md5-parts":
        return _digest_of_parts(path, checksum.part_size)
    digest = ALGORITHMS[checksum.algorithm](path.stat().st_size)
    for block in _blocks(path, BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _digest_of_parts(path: Path, part_size: int) -> str:
    """Return the MD5 of the MD5s of parts: the ETag that S3 gives an object uploaded so."""
    whole = hashlib.md5(usedforsecurity=False)
    part = hashlib.md5(usedforsecurity=False)
    room = part_size
    for block in _blocks(path, BLOCK):
        rest = memoryview(block)
        while len(rest) >= room:
            part.update(rest[:room])
            rest = rest[room:]
            whole.update(part.digest())
            part, room = hashlib.md5(usedforsecurity=False), part_size
        part.update(rest)
        room -= len(rest)
    if room < part_size:
        whole.update(part.digest())
    return whole.hexdigest()


def _blocks(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(size):
            yield block
