"""What an answer cost: the engine's `usage`, found in mappings, whole bodies and streams.

Lives here: OpenAI's and Anthropic's names for it, and finding it without parsing what cannot hold it.
Not here: framing of events (sse), what is charged for it (ratelimit).
A part that the engine did not report is None: unknown is never zero.
"""

import re
from collections.abc import Mapping
from json import JSONDecoder
from typing import Any, NamedTuple

import orjson

from gateway.openai.fields import MAX_COUNT, whole
from gateway.openai.sse import EventSplitter, Piece, data_of

_ENGINE_FAILED = 500
"""The code of an error event that names none."""

_USAGE_OBJECT_BYTES = 1 << 16
"""A usage object ends within this many bytes; the longest recorded has 300."""

_USAGE_KEY = re.compile(rb'"usage"\s*:\s*(?=\{)')
"""Inside a JSON string its quotes would be escaped, so no generated text can look like this."""

_CONTENT = re.compile(rb'"choices":\s*\[\s*\{|"type":\s*"(?:content_block_delta|response\.[a-z_.]+\.delta)"')
"""Events that carry output (chat, completions; Anthropic; Responses)."""

_OPENING = re.compile(rb'"delta":\s*\{\s*"role":\s*"\w+"\s*(?:\}|,\s*"content":\s*(?:""|null)\s*[,}])')
"""The first chunk of a choice, which names the role before anything was generated."""


class TokenUsage(NamedTuple):
    """Tokens as the engine counted them; None = not reported."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None  # of the prompt, found in the engine's cache
    reported_total: int | None = None

    @property
    def total_tokens(self) -> int | None:
        """The engine's total, or the sum when both parts are known."""
        if self.reported_total is not None or self.prompt_tokens is None or self.completion_tokens is None:
            return self.reported_total
        return self.prompt_tokens + self.completion_tokens

    def updated(self, later: "TokenUsage") -> "TokenUsage":
        """A later report of the same answer: it counts, with the parts that only the earlier one had."""
        return later._replace(
            prompt_tokens=self.prompt_tokens if later.prompt_tokens is None else later.prompt_tokens,
            completion_tokens=self.completion_tokens if later.completion_tokens is None else later.completion_tokens,
            cached_tokens=self.cached_tokens if later.cached_tokens is None else later.cached_tokens,
        )


def parse_usage(usage: object) -> TokenUsage | None:
    """The usage in a `usage` object; None when it is not one or holds no count.

    Parts of a wrong type are not reported parts; a missing output is the total less the prompt.
    """
    if not isinstance(usage, Mapping):
        return None
    prompt = _first(usage, "prompt_tokens", "input_tokens")
    completion = _first(usage, "completion_tokens", "output_tokens")
    total = _tokens(usage.get("total_tokens"))
    if prompt is None and completion is None and total is None:
        return None
    if completion is None and prompt is not None and total is not None and total >= prompt:
        completion = total - prompt
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    cached = _tokens(details.get("cached_tokens")) if isinstance(details, Mapping) else None
    return TokenUsage(prompt, completion, cached, total)


def _first(usage: Mapping[str, Any], *names: str) -> int | None:
    for name in names:  # a generator would cost as much again
        tokens = _tokens(usage.get(name))
        if tokens is not None:
            return tokens
    return None


def _tokens(value: Any) -> int | None:
    """A count: an integer from 0, also as the double that Envoy's metadata makes of it; absurd ones are no report."""
    return int(value) if value is not None and whole(value) and 0 <= value <= MAX_COUNT else None


class SseUsageParser:
    """Reads a stream of events as it passes.  Cost per event: a few searches; only what may hold usage is parsed."""

    def __init__(self) -> None:
        self.usage: TokenUsage | None = None  # the last one seen: `continuous_usage_stats` puts one on every chunk
        self.error_code: int | None = None  # an engine that dies says so under status 200
        self.content_chunks = 0  # events that carry output, about one token each
        self._splitter = EventSplitter()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream, split anywhere."""
        self._read(self._splitter.feed(chunk))

    def finish(self) -> None:
        """The stream has ended, perhaps inside an event."""
        self._read(self._splitter.finish())

    def _read(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            data = data_of(piece.raw) if piece.whole else None
            if data is not None:
                self._read_data(data)

    def _read_data(self, data: bytes) -> None:
        if _CONTENT.search(data) and not _OPENING.search(data):
            self.content_chunks += 1
        if b'"usage"' in data or b'"error"' in data:
            self._read_facts(data)

    def _read_facts(self, data: bytes) -> None:
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        if not isinstance(event, dict):
            return
        # Anthropic's message_start and the Responses events hold theirs one level down.
        for holder in (event, event.get("message"), event.get("response")):
            if not isinstance(holder, dict):
                continue
            usage = parse_usage(holder.get("usage"))
            if usage:
                self.usage = self.usage.updated(usage) if self.usage else usage
            if holder.get("error"):
                self.error_code = _code(holder["error"])


def _code(error: object) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) else _ENGINE_FAILED


class JsonUsageCollector:
    """Finds the usage of an answer that is not streamed, of any size, holding at most 128 KiB and one piece.

    It looks for the last object under a key `usage` that holds a count, and parses nothing else.
    """

    def __init__(self) -> None:
        self.usage: TokenUsage | None = None
        self._held = bytearray()

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the body, split anywhere."""
        self._held += piece
        if len(self._held) > 2 * _USAGE_OBJECT_BYTES:
            self._read(len(self._held) - _USAGE_OBJECT_BYTES)

    def finish(self) -> None:
        """The body has ended."""
        self._read(len(self._held))

    def _read(self, end: int) -> None:
        """Read what is held and let go of the bytes before `end`; an object that is still cut off is read again."""
        for key in _USAGE_KEY.finditer(self._held):
            self.usage = _leading_usage(self._held[key.end() : key.end() + _USAGE_OBJECT_BYTES]) or self.usage
        del self._held[:end]


def _leading_usage(text: bytearray) -> TokenUsage | None:
    """The usage in the JSON object that the text begins with."""
    try:
        return parse_usage(JSONDecoder().raw_decode(text.decode("utf-8", "replace"))[0])
    except (ValueError, RecursionError):
        return None
