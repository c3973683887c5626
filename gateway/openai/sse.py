"""Cutting a stream of server-sent events into events, however its bytes were split.

Lives here: framing (WHATWG HTML, "Server-sent events": lines end with CRLF, LF or CR, a blank line ends an event).
Not here: what events say (usage) or which of them a client may see (stream_usage).
"""

import re
from typing import NamedTuple

MAX_EVENT_BYTES = 1 << 20
"""A longer event is not held: its parts come out as they arrive.  A chunk of a stream is some hundred bytes."""

_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?=[^\n]))")
"""Two line ends.  A CR that is the last byte so far may be half of a CRLF: it has to wait for the next byte."""

_OVERLAP = 3
"""An event's end is at most 4 bytes, so this many old bytes can belong to an end that new bytes complete."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Piece(NamedTuple):
    """An event with the blank line that ends it, or, not `whole`, a part of one that is too long."""

    raw: bytes
    whole: bool


class EventSplitter:
    """Bytes in, events out.  Holds at most MAX_EVENT_BYTES and one chunk; each byte is looked at once."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._inside_oversized = False

    def feed(self, chunk: bytes) -> list[Piece]:
        """The events that this chunk completes."""
        held = self._held
        search_from = max(0, len(held) - _OVERLAP)
        held += chunk
        pieces = []
        start = 0
        for end in [match.end() for match in _EVENT_END.finditer(held, search_from)]:
            pieces.append(self._piece(bytes(held[start:end]), ended=True))
            start = end
        del held[:start]
        if len(held) > MAX_EVENT_BYTES:
            pieces.append(self._piece(bytes(held[:-_OVERLAP]), ended=False))
            del held[:-_OVERLAP]
        return pieces

    def finish(self) -> list[Piece]:
        """What is held when the stream ends, as an event of its own: the last blank line is often missing."""
        rest = bytes(self._held)
        self._held.clear()
        return [self._piece(rest, ended=True)] if rest else []

    def _piece(self, raw: bytes, *, ended: bool) -> Piece:
        too_long = self._inside_oversized or len(raw) > MAX_EVENT_BYTES or not ended
        self._inside_oversized = not ended
        return Piece(raw, whole=not too_long)


def data_of(event: bytes) -> bytes | None:
    """The `data` of an event, its lines joined; None when it has none, as comments do.

    A byte order mark in front is passed over; the standard allows one only in front of the first event.
    """
    lines = [
        line[5:].removeprefix(b" ")
        for line in event.removeprefix(_BYTE_ORDER_MARK).splitlines()
        if line.startswith(b"data:")
    ]
    return b"\n".join(lines) if lines else None
