"""Content codings (RFC 9110 section 8.4): request bodies are decoded so that limits and routing see the text.

Lives here: gzip, deflate and zstd, and how much may come out.  Not here: when a body is decoded (gateway.extproc).
Engines decode nothing, so they get the decoded body.
"""

import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from gateway.openai.errors import BadRequestError, BodyTooLargeError, UnsupportedCodingError, header_safe

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_CODINGS = 3
"""Codings of one body, each around the next, at most (chosen; clients use one)."""
MAX_FRAMES = 16
"""Members of a gzip file or frames of zstd that follow each other, at most (chosen; clients send one)."""
_ZSTD_WINDOW = 23
"""Binary logarithm of the largest window of zstd: 8 MB (RFC 9659, section 3)."""
_GZIP, _ZLIB, _RAW_DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_ZLIB_METHOD = 8


class _Decompressor(Protocol):
    """One frame: `decompress` returns at most `max_length` bytes of it."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _deflate(body: bytes) -> _Decompressor:
    """Return a decompressor for `deflate`: it means zlib's format, and some clients send it without zlib's header."""
    is_zlib = body[:1] and body[0] & 0x0F == _ZLIB_METHOD and int.from_bytes(body[:2]) % 31 == 0
    return zlib.decompressobj(_ZLIB if is_zlib else _RAW_DEFLATE)


def _gzip(_body: bytes) -> _Decompressor:
    return zlib.decompressobj(_GZIP)


def _zstd(_body: bytes) -> _Decompressor:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW})


_CODINGS: Final[Mapping[str, Callable[[bytes], _Decompressor]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}
ACCEPTED = "gzip, deflate, zstd"


def decode_body(content_encoding: str, body: bytes, limit_bytes: int) -> bytes:
    """Return the body without the codings that the header `content-encoding` lists in the order of their application.

    Never decodes more than `limit_bytes` and one byte.  Most bodies take 2 to 10 ms per MB, and one that is made for it
    250 ms per MB, so this belongs into a thread; it runs without Python's lock.
    Raises UnsupportedCodingError, BadRequestError for a body that is not coded so, and BodyTooLargeError.
    """
    applied = _applied(content_encoding)
    unknown = [coding for coding in applied if coding not in _CODINGS]
    if unknown or len(applied) > MAX_CODINGS:
        named = header_safe(", ".join(unknown or applied)[:50])
        rule = f"must be one of {ACCEPTED}" if unknown else f"must be at most {MAX_CODINGS} codings"
        raise UnsupportedCodingError(f"content-encoding = {named}, {rule}", accepted=ACCEPTED)
    for coding in reversed(applied):
        body = _decoded(coding, body, limit_bytes)
    return body


def is_coded(content_encoding: str) -> bool:
    """Return whether the header `content-encoding`, empty where there is none, names a coding that changes the body."""
    return content_encoding != "" and bool(_applied(content_encoding))


def _applied(content_encoding: str) -> list[str]:
    return [coding for item in content_encoding.split(",") if (coding := item.strip().lower()) not in ("", "identity")]


def _decoded(coding: str, body: bytes, limit_bytes: int) -> bytes:
    pieces: list[bytes] = []
    room = limit_bytes
    for _ in range(MAX_FRAMES):
        frame = _CODINGS[coding](body)
        try:
            piece = frame.decompress(body, room + 1)
        except (zlib.error, zstd.ZstdError):
            break
        room -= len(piece)
        if room < 0:
            raise BodyTooLargeError(f"body = more than {limit_bytes} bytes decoded, must be at most {limit_bytes}")
        if not frame.eof:
            break
        pieces.append(piece)
        body = frame.unused_data
        if not body:
            return b"".join(pieces)
    raise BadRequestError(f"body is not {coding}, as content-encoding says")
