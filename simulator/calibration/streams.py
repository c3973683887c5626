"""Requests to a live engine whose answers are streamed, and the times at which they come.

Lives here: prompts, requests and times.  Not here: what is concluded from them (benchmark, forebay.profiling).
No prompt is in an engine's prefix cache: each begins differently.
"""

import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

WORDS = ("water", "wheel", "gate", "river", "turns", "holds", "stream", "power", "level", "basin", "slow", "fast")
PROBE_WORDS = 200
"""Length of the prompt from which the tokens per word are learned."""
TIMEOUT_S = 300.0
"""Seconds for one request, the longest prefill of a slow engine included (chosen)."""
LEAST_ID, MOST_ID = 1_000, 30_000
"""Token ids that vocabularies of models have for ordinary text: special tokens lie below or above."""
BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)


class NotMeasuredError(Exception):
    """The engine's response is not that of an OpenAI endpoint; the message says how it differs."""


class BusyError(NotMeasuredError):
    """The engine refuses a request because it has too many."""


@dataclass
class Stream:
    """The times of one streamed response, and its usage."""

    sent_s: float  # when the request was sent
    chunks_s: list[float] = field(default_factory=list)  # when its chunks with content came
    prompt_tokens: int = 0
    output_tokens: int = 0

    def tokens_by(self, until_s: float) -> float:
        """Return how many tokens had come by then; a chunk may hold several."""
        return sum(at_s <= until_s for at_s in self.chunks_s) * self.output_tokens / len(self.chunks_s)


class Prompts:
    """Prompts of a length: token ids where the engine takes them (`has_ids`), else words, whose tokens are learned.

    `words` are drawn at random, or in their order where they are a text (`is_text`).
    """

    def __init__(self, words: Sequence[str] = WORDS, *, is_text: bool = False) -> None:
        self._rng = random.Random()  # noqa: S311 - no secret; unseeded, because prompts of an earlier run are cached
        self._words = words
        self.is_text = is_text
        self.tokens_per_word = 1.0
        self.has_ids = False

    def of_tokens(self, tokens: int) -> str | list[int]:
        """Return a prompt of so many tokens."""
        if self.has_ids:
            return self.ids(tokens)
        return self.of_words(max(1, round(tokens / self.tokens_per_word)))

    def ids(self, tokens: int) -> list[int]:
        """Return token ids."""
        return [self._rng.randrange(LEAST_ID, MOST_ID) for _ in range(tokens)]

    def of_words(self, words: int) -> str:
        """Return a text of so many words, after a number that no other has."""
        start = self._rng.randrange(len(self._words))
        text = (self._words[(start + n) % len(self._words)] for n in range(words))
        chosen = text if self.is_text else self._rng.choices(self._words, k=words)
        return f"{self._rng.getrandbits(32)} {' '.join(chosen)}"


async def stream(client: httpx.AsyncClient, body: Mapping[str, Any], clock: Callable[[], float]) -> Stream:
    """Return the times of a completion.  Raises NotMeasuredError, and BusyError when it was refused for now."""
    asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
    found = Stream(clock())
    async with client.stream("POST", "/v1/completions", json=asked) as answer:
        if answer.status_code != httpx.codes.OK:
            error = BusyError if answer.status_code in BUSY else NotMeasuredError
            raise error(f"status {answer.status_code}: {(await answer.aread())[:500]!r}")
        async for line in answer.aiter_lines():
            _note(found, line, clock)
    if not found.chunks_s or not found.output_tokens:
        raise NotMeasuredError("a stream without tokens or without usage")
    return found


def _note(found: Stream, line: str, clock: Callable[[], float]) -> None:
    data = line.removeprefix("data: ")
    if data in (line, "[DONE]"):
        return
    event: dict[str, Any] = orjson.loads(data)
    if event.get("choices"):
        found.chunks_s.append(clock())
    if usage := event.get("usage"):
        found.prompt_tokens, found.output_tokens = usage["prompt_tokens"], usage["completion_tokens"]


@asynccontextmanager
async def client_of(base_url: str, api_key: str) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client without a limit on connections."""
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    limits = httpx.Limits(max_connections=None)
    base_url = base_url.rstrip("/").removesuffix("/v1")
    async with httpx.AsyncClient(base_url=base_url, headers=headers, limits=limits, timeout=TIMEOUT_S) as client:
        yield client
