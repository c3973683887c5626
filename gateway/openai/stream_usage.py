"""Asking the engine for a stream's usage, and hiding it from a client that did not ask (docs/contracts.md section 3).

Lives here: the change to the request's body, and the filter of the answer's events.
Not here: reading the usage (usage).
"""

import re

import orjson

from gateway.openai.members import MemberNotFoundError, insert_member, replace_member
from gateway.openai.request import InferenceRequest
from gateway.openai.sse import EventSplitter, Piece, data_of

_NO_CHOICES = re.compile(rb'"choices":\s*\[\s*\]')


def with_stream_usage(body: bytes, request: InferenceRequest) -> bytes | None:
    """Return the request's body with `stream_options.include_usage: true`; None = send it unchanged.

    `body` is what `request` was parsed from, and no other byte of it changes.  Where the options that it has cannot be
    found (gateway.openai.members), it stays: then the usage is unknown and the estimate is charged.
    """
    body_format = request.operation.body
    if not request.stream or request.wants_usage or body_format is None or not body_format.has_stream_options:
        return None
    if not request.has_stream_options:
        return insert_member(body, "stream_options", '{"include_usage":true}')
    try:
        return replace_member(body, ("stream_options", "include_usage"), "true")
    except MemberNotFoundError:
        return None


class UsageChunkFilter:
    """Removes the usage chunk, which carries nothing else, from a stream; complete events pass at once."""

    def __init__(self) -> None:
        self._splitter = EventSplitter((_NO_CHOICES,))

    def feed(self, chunk: bytes) -> bytes:
        """Return the events that this chunk completes, without the usage chunk."""
        return _visible(self._splitter.feed(chunk))

    def finish(self) -> bytes:
        """Return what is left at the end of the stream, unless it is the usage chunk."""
        return _visible(self._splitter.finish())


def _visible(pieces: list[Piece]) -> bytes:
    return b"".join(raw for raw, complete, marked in pieces if not (complete and marked and _is_usage_chunk(raw)))


def _is_usage_chunk(raw: bytes) -> bool:
    """Return whether an event has a usage and no choices (`"choices":[]`)."""
    if b'"usage"' not in raw:
        return False
    try:
        chunk = orjson.loads(data_of(raw) or b"")
    except orjson.JSONDecodeError:
        return False
    return isinstance(chunk, dict) and chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)
