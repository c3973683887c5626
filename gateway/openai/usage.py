"""The engine's `usage` of an answer, found in parsed objects and in streams.

Lives here: OpenAI's and Anthropic's names of its fields, and finding it without parsing what cannot hold it.
Not here: framing of events (sse), JSON answers (json_answer), what is charged (accounting.settlement).
A count that the engine did not report is None: unknown is never zero.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from gateway.openai.engine_errors import EngineError, error_in_event
from gateway.openai.fields import MAX_COUNT, is_integer
from gateway.openai.sse import EventSplitter, Piece, data_of

_CONTENT = re.compile(rb'"choices":\s*\[\s*\{|"type":\s*"(?:content_block_delta|response\.[a-z_.]+\.delta)"')
"""Bytes by which an event with output is found: chat and completions, Anthropic's Messages, Responses."""

_MARKS = (
    re.compile(rb'"(?:(?:usage|error|failed|message|code|detail)"(?!:\s*null)|delta":\s*\{\s*"role")'),
    re.compile(rb"event: ?error"),
)
"""Bytes without which an event tells neither usage nor an error, and has output as it looks.  In generated text the
quotes would be escaped."""
BYTES_PER_MARK = 4096
"""An engine that reports usage in each event counts up, so that the last one tells as much (chosen: 10 us for each that
is read)."""

_ERROR_EVENT = re.compile(rb"^event: ?error\s*$", re.MULTILINE)
"""The name of an event that is an error whatever its data say."""

_ROLE_ONLY = re.compile(rb'"delta":\s*\{\s*"role":\s*"\w+"\s*(?:\}|,\s*"content":\s*(?:""|null)\s*[,}])')
"""Bytes by which the first chunk of a choice is found, which names the role before anything is generated."""


CACHED = "cached_tokens"
"""OpenAI's count of the prompt's tokens that were in the cache, among the details of its tokens."""
CACHE_READ = "cache_read_input_tokens"
CACHE_WRITTEN = "cache_creation_input_tokens"
"""Anthropic's counts of the prompt's tokens that were read from the cache, and written to it (Messages API)."""


class TokenUsage(NamedTuple):
    """Token counts that the engine reported; None = not reported."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None  # tokens of the prompt that were in the engine's KV cache
    reported_total: int | None = None
    beside_input: int | None = None  # of the prompt's, those that Anthropic counts beside `input_tokens`

    @property
    def total_tokens(self) -> int | None:
        """The engine's total, or the sum when both parts are known."""
        if self.reported_total is not None or self.prompt_tokens is None or self.completion_tokens is None:
            return self.reported_total
        return self.prompt_tokens + self.completion_tokens

    def updated(self, later: "TokenUsage") -> "TokenUsage":
        """Return a later report of the same answer, with counts that only this earlier one has."""
        beside_input = self.beside_input if later.beside_input is None else later.beside_input
        prompt = self if later.prompt_tokens is None else later
        prompt_tokens = prompt.prompt_tokens
        if prompt_tokens is not None:
            prompt_tokens += (beside_input or 0) - (prompt.beside_input or 0)
        return later._replace(
            prompt_tokens=prompt_tokens,
            beside_input=beside_input,
            completion_tokens=self.completion_tokens if later.completion_tokens is None else later.completion_tokens,
            cached_tokens=self.cached_tokens if later.cached_tokens is None else later.cached_tokens,
        )


def parse_usage(usage: object) -> TokenUsage | None:
    """Read a `usage` object; None when it is no object or has no count.

    A count of a wrong type counts as not reported; missing output tokens are the total less the prompt.  Anthropic's
    `input_tokens` are without those that were read from the cache or written to it, which are added; everybody else's
    counts include them.  Envoy tells the cached ones without the details that they are among.
    """
    if not isinstance(usage, dict):
        return None
    prompt = _tokens(usage.get("prompt_tokens"))
    beside_input = None
    if prompt is None:
        prompt = _tokens(usage.get("input_tokens"))
        beside_input = _cache_tokens(usage)
    completion = _first(usage, "completion_tokens", "output_tokens")
    total = _tokens(usage.get("total_tokens"))
    if prompt is None and completion is None and total is None and beside_input is None:
        return None
    if prompt is not None and beside_input is not None:
        prompt += beside_input
    if completion is None and prompt is not None and total is not None and total >= prompt:
        completion = total - prompt
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    cached = _tokens((details if isinstance(details, dict) else usage).get(CACHED))
    if cached is None and beside_input is not None:
        cached = _tokens(usage.get(CACHE_READ))
    return TokenUsage(prompt, completion, cached, total, beside_input)


def _cache_tokens(usage: Mapping[str, Any]) -> int | None:
    """Return what Anthropic's Messages report beside `input_tokens`; None = nothing."""
    read, written = _tokens(usage.get(CACHE_READ)), _tokens(usage.get(CACHE_WRITTEN))
    return None if read is None and written is None else (read or 0) + (written or 0)


def _first(usage: Mapping[str, Any], *names: str) -> int | None:
    for name in names:  # not a generator expression, which would double the cost
        tokens = _tokens(usage.get(name))
        if tokens is not None:
            return tokens
    return None


def _tokens(value: Any) -> int | None:
    """Return a count: an integer from 0 to MAX_COUNT, also as the double that Envoy's metadata makes of it."""
    return int(value) if value is not None and is_integer(value) and 0 <= value <= MAX_COUNT else None


class SseUsageParser:
    """Finds usage, errors and output in a stream.  Each event is searched; only one that may hold usage is parsed."""

    def __init__(self) -> None:
        self.usage: TokenUsage | None = None  # the latest: `continuous_usage_stats` puts one in every chunk
        self.error: EngineError | None = None  # of an event by which an engine reports a failure after status 200
        self.content_chunks = 0  # events that carry output, about one token each
        self._splitter = EventSplitter(_MARKS, BYTES_PER_MARK)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream, split anywhere."""
        self._read(self._splitter.feed(chunk))

    def finish(self) -> None:
        """Take the end of the stream, which may be inside an event."""
        self._read(self._splitter.finish())

    def _read(self, pieces: list[Piece]) -> None:
        for raw, complete, marked in pieces:
            if complete and not marked:
                self.content_chunks += len(_CONTENT.findall(raw))
            elif complete and (data := data_of(raw)) is not None:
                self._read_data(data)
                if b"event" in raw and _ERROR_EVENT.search(raw) and self.error is None:
                    self.error = EngineError.UNSAID

    def _read_data(self, data: bytes) -> None:
        if _CONTENT.search(data) and not _ROLE_ONLY.search(data):
            self.content_chunks += 1
        if _MARKS[0].search(data):
            self._read_event(data)

    def _read_event(self, data: bytes) -> None:
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        if not isinstance(event, dict):
            return
        # In Anthropic's message_start and in Responses events it is one level down.
        for holder in (event, event.get("message"), event.get("response")):
            usage = parse_usage(holder.get("usage")) if isinstance(holder, dict) else None
            if usage:
                self.usage = self.usage.updated(usage) if self.usage else usage
        self.error = error_in_event(event) or self.error
