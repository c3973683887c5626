"""The members of a JSON answer that tell its usage or an error, found without parsing the rest.

Lives here: collecting an answer that comes in pieces.  Not here: what the members say (usage, engine_errors), streams
(sse).  A client's text, metadata and tools may be echoed in an answer, so only members of the outermost object count.
msgspec skips what is not asked for: 6 MB of embeddings take it a quarter of the time that parsing them takes.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

MAX_ANSWER_BYTES = 16 << 20
"""A longer answer is not read, so that its request is charged by estimate: 6 MB of embeddings are common, a batch of
256 x 4,096 has 14 MB.  Envoy, which reads it in metadata mode, buffers at least as much (gateway.envoy.listener)."""

_MEMBERS = ("usage", "error", "object", "status")
"""The members that are read; they may have any type."""
# Not a class, of which a compiled module hides the fields.
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
    msgspec.defstruct("Answer", [(name, Any, None) for name in _MEMBERS])
)


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

    def members(self) -> Mapping[str, Any] | None:
        """Return the members of the whole answer, None for one that it lacks; None if it is no object or too long."""
        try:
            answer = _DECODER.decode(self._body)
            return {name: getattr(answer, name) for name in _MEMBERS}
        except (msgspec.DecodeError, RecursionError):
            return None
