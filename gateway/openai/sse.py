"""Splitting a stream of server-sent events into events, wherever its chunks begin and end.

Lives here: framing (WHATWG HTML, "Server-sent events": lines end with CRLF, LF or CR, a blank line ends an event).
Not here: the content of events (usage), which of them a client gets (stream_usage).
"""

import re
from typing import NamedTuple

MAX_EVENT_BYTES = 1 << 20
"""Bytes of an event that are buffered at most: a longer one is passed on in parts.  Chosen: events of engines have some
hundred bytes."""

_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?=[^\n]))")
"""Two line ends in a row.  A CR at the end of the buffer may be half of a CRLF, so it does not match yet."""

_OVERLAP = 3
"""Bytes of the buffer to search again with a new chunk: an event's end has at most 4 bytes, so 3 may be there."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Piece(NamedTuple):
    """An event with the blank line that ends it, or, where not `complete`, a part of one that is too long."""

    raw: bytes
    complete: bool


class EventSplitter:
    """Splits bytes into events.  Buffers at most MAX_EVENT_BYTES and one chunk; examines each byte once."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inside_oversized = False

    def feed(self, chunk: bytes) -> list[Piece]:
        """Return the events that this chunk completes."""
        buffer = self._buffer
        search_from = max(0, len(buffer) - _OVERLAP)
        buffer += chunk
        pieces = []
        start = 0
        for end in [match.end() for match in _EVENT_END.finditer(buffer, search_from)]:
            pieces.append(self._piece(bytes(buffer[start:end]), ended=True))
            start = end
        del buffer[:start]
        if len(buffer) > MAX_EVENT_BYTES:
            pieces.append(self._piece(bytes(buffer[:-_OVERLAP]), ended=False))
            del buffer[:-_OVERLAP]
        return pieces

    def finish(self) -> list[Piece]:
        """Return what is left at the end of the stream as an event, because the last blank line is often missing."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return [self._piece(rest, ended=True)] if rest else []

    def _piece(self, raw: bytes, *, ended: bool) -> Piece:
        too_long = self._inside_oversized or len(raw) > MAX_EVENT_BYTES or not ended
        self._inside_oversized = not ended
        return Piece(raw, complete=not too_long)


def data_of(event: bytes) -> bytes | None:
    """Return the `data` of an event, its lines joined; None where there is none, as in comments.

    A byte order mark in front is skipped, though the standard allows one only in front of the first event.
    """
    lines = [
        line[5:].removeprefix(b" ")
        for line in event.removeprefix(_BYTE_ORDER_MARK).splitlines()
        if line.startswith(b"data:")
    ]
    return b"\n".join(lines) if lines else None
