"""The members of a JSON answer that tell its usage or an error, found without parsing the rest.

Lives here: collecting an answer that comes in pieces.  Not here: what the members say (usage, engine_errors), streams
(sse).  A client's text, metadata and tools may be echoed in an answer, so only members of the outermost object count.
msgspec skips what is not asked for: 6 MB of embeddings take it a quarter of the time that parsing them takes.
"""

from typing import Any, TypedDict

import msgspec

MAX_ANSWER_BYTES = 16 << 20
"""A longer answer is not read, so that its request is charged by estimate: Envoy's buffer in metadata mode
(gateway.envoy.listener)."""


class Members(TypedDict, total=False):
    """The members that are read, if there are any; they may have any type."""

    usage: Any
    error: Any
    object: Any
    status: Any


_DECODER = msgspec.json.Decoder(Members)


class JsonAnswer:
    """One answer.  Call `feed` for each piece of its body, then `members`."""

    def __init__(self) -> None:
        self._body = bytearray()
        self._is_too_long = False

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the body, split anywhere."""
        if len(self._body) + len(piece) > MAX_ANSWER_BYTES:
            self._is_too_long = True
            self._body.clear()
        if not self._is_too_long:
            self._body += piece

    def members(self) -> Members | None:
        """Return the members of the whole answer; None where it is no JSON object or too long."""
        try:
            return _DECODER.decode(self._body)
        except (msgspec.DecodeError, RecursionError):
            return None
