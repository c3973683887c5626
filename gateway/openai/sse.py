"""Splitting a stream of server-sent events into events, wherever its chunks begin and end.

Lives here: framing (WHATWG HTML, "Server-sent events": lines end with CRLF, LF or CR, a blank line ends an event).
Not here: the content of events (usage), which of them a client gets (stream_usage).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

MAX_EVENT_BYTES = 1 << 20
"""Bytes of an event that are buffered at most: a longer one is passed on in parts.  Chosen: events of engines have some
hundred bytes."""

FEW_MARKS = 16
"""Marks that count in any chunk (chosen: the first events of a stream with several choices)."""

_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?=[^\n]))")
"""Two line ends in a row.  A CR at the end of the buffer may be half of a CRLF, so it does not match yet."""

_OVERLAP = 3
"""Bytes of the buffer to search again with a new chunk: an event's end has at most 4 bytes, so 3 may be there."""

_CR, _LF = b"\r\n"

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Piece(NamedTuple):
    """An event with the blank line that ends it, or, where not `complete`, a part of one that is too long.

    Where not `marked`, several events without a mark.
    """

    raw: bytes
    complete: bool
    marked: bool = True


class EventSplitter:
    """Splits bytes into events.  Buffers at most MAX_EVENT_BYTES and one chunk.

    `marks`: only events in which one is found come one by one, and what is between them at once: looking at each event
    took up to 800 ms per MB, a search 3, if the pattern begins with a byte that is rare.  `bytes_per_mark`: of marks
    that are closer together, FEW_MARKS in each chunk aside, the last one counts and those before it do not.
    """

    def __init__(self, marks: Sequence[re.Pattern[bytes]] | None = None, bytes_per_mark: int = 0) -> None:
        self._buffer = bytearray()
        self._inside_oversized = False
        self._marks = marks
        self._bytes_per_mark = bytes_per_mark

    def feed(self, chunk: bytes) -> list[Piece]:
        """Return the events that this chunk completes."""
        buffer = self._buffer
        search_from = max(0, len(buffer) - _OVERLAP)
        buffer += chunk
        pieces = []
        start = 0
        for end, marked in self._ends(search_from):
            pieces.append(self._piece(bytes(buffer[start:end]), ended=True, marked=marked))
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
        marked = self._marks is None or any(marks.search(rest) for marks in self._marks)
        return [self._piece(rest, ended=True, marked=marked)] if rest else []

    def _ends(self, search_from: int) -> list[tuple[int, bool]]:
        """Return where pieces end in the buffer, and whether they are marked."""
        if self._marks is None:
            return [(match.end(), True) for match in _EVENT_END.finditer(self._buffer, search_from)]
        last = _last_end(self._buffer, search_from, len(self._buffer))
        ends: list[tuple[int, bool]] = []
        at = 0
        if self._inside_oversized and last:
            at = self._first_end(search_from, last)
            ends.append((at, True))
        for mark in self._found(at, last):
            if mark < at:
                continue
            start = _last_end(self._buffer, at, mark + 1)
            if start > at:
                ends.append((start, False))
            at = self._first_end(mark, last)
            ends.append((at, True))
        if at < last:
            ends.append((last, False))
        return ends

    def _found(self, start: int, stop: int) -> list[int]:
        """Return where marks are in this part of the buffer, the first ones and the last one if there are too many."""
        found = [match.start() for marks in self._marks or () for match in marks.finditer(self._buffer, start, stop)]
        found.sort()
        most = FEW_MARKS + (stop - start) // self._bytes_per_mark if self._bytes_per_mark else len(found)
        return found if len(found) <= most else [*found[:most], found[-1]]

    def _first_end(self, search_from: int, last: int) -> int:
        found = _EVENT_END.search(self._buffer, search_from, last)
        return found.end() if found is not None else last

    def _piece(self, raw: bytes, *, ended: bool, marked: bool = True) -> Piece:
        too_long = self._inside_oversized or (marked and len(raw) > MAX_EVENT_BYTES) or not ended
        self._inside_oversized = not ended
        return Piece(raw, not too_long, marked)


def _last_end(text: bytearray, start: int, stop: int) -> int:
    """Return where the last event ends whose end is in this part of the text; 0 = none does.

    Of two line ends in a row the last byte of the first and the first byte of the second are one of three pairs: CR LF
    is one line end.  A CR at the end of the text may be half of a CR LF, so it ends nothing yet.
    """
    pairs = (b"\n\n", b"\n\r", b"\r\r")
    at = max([text.rfind(pair, start, stop) for pair in pairs])
    if at >= 0 and at + 2 == len(text) and text.endswith(b"\r"):
        at = max([text.rfind(pair, start, at + 1) for pair in pairs])
    if at < 0:
        return 0
    return at + 3 if text[at + 1] == _CR and text[at + 2] == _LF else at + 2


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
