"""Measures a live engine: TTFT and ITL over a small grid of prompt lengths and concurrencies.

Lives here: requests and their times.  Not here: fitting a profile to them (fit).
Prompts are random words that begin differently, so that the engine's prefix cache has none of them.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import httpx
import orjson
from prometheus_client.parser import text_string_to_metric_families

from simulator.calibration.fit import Decode, Prefill

WORDS = ("water", "wheel", "gate", "river", "turns", "holds", "stream", "power", "level", "basin", "slow", "fast")
PROBE_WORDS = 200
"""Length of the prompt from which the tokens per word are learned."""
REPEATS = 3
"""Prefills measured of each length; the median counts (chosen)."""
STEADY_TOKENS = 32
"""Minimum number of tokens that each response of a group generates while all others decode too (chosen)."""
TIMEOUT_S = 300.0
"""Seconds for one request, the longest prefill of a slow engine included (chosen)."""


class NotMeasuredError(Exception):
    """The engine's response is not that of an OpenAI endpoint; the message says how it differs."""


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


class Benchmark:
    """Measures one engine that is otherwise idle.  `pass_tokens` is the most new tokens that it computes in a pass."""

    def __init__(self, client: httpx.AsyncClient, model: str, pass_tokens: int) -> None:
        self._client = client
        self._model = model
        self._pass_tokens = pass_tokens
        self._rng = random.Random()  # noqa: S311 - no secret; unseeded, because prompts of an earlier run are cached
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self._tokens_per_word = 1.0

    async def warm_up(self) -> None:
        """Learn how many tokens a word has; the engine's first requests, which are slower, are not measured."""
        for _ in range(REPEATS):
            probe = await self._stream(PROBE_WORDS, 4)
            self._tokens_per_word = probe.prompt_tokens / PROBE_WORDS

    async def prefill(self, prompt_tokens: int) -> Prefill:
        """Return the TTFT of prompts of about this length."""
        streams = [await self._stream(self._words(prompt_tokens), 1) for _ in range(REPEATS)]
        seconds = median(stream.chunks_s[0] - stream.sent_s for stream in streams)
        return Prefill(round(median(stream.prompt_tokens for stream in streams)), seconds)

    async def decode(self, sequences: int, prompt_tokens: int) -> Decode | None:
        """Return the ITL of so many concurrent responses; None = the engine does not generate so many at once."""
        others_prefill = sequences * (prompt_tokens // self._pass_tokens + 2)
        limit = STEADY_TOKENS + others_prefill
        words = self._words(prompt_tokens)
        streams = await asyncio.gather(*(self._stream(words, limit) for _ in range(sequences)))
        begin_s = max(stream.chunks_s[0] for stream in streams)
        end_s = min(stream.chunks_s[-1] for stream in streams)
        if end_s <= begin_s:
            return None
        before = [stream.tokens_by(begin_s) for stream in streams]
        after = [stream.tokens_by(end_s) for stream in streams]
        lengths = [stream.prompt_tokens + (a + b) / 2 for stream, a, b in zip(streams, before, after, strict=True)]
        tokens = sum(after) - sum(before)
        return Decode(sequences, sum(lengths) / sequences, (end_s - begin_s) * sequences / tokens)

    def _words(self, tokens: int) -> int:
        return max(1, round(tokens / self._tokens_per_word))

    async def _stream(self, words: int, limit: int) -> Stream:
        prompt = f"{self._rng.getrandbits(32)} " + " ".join(self._rng.choices(WORDS, k=words))
        body = {
            "model": self._model, "prompt": prompt, "max_tokens": limit, "ignore_eos": True, "temperature": 0,
            "stream": True, "stream_options": {"include_usage": True},
        }  # fmt: skip
        stream = Stream(self._clock())
        async with self._client.stream("POST", "/v1/completions", json=body) as answer:
            if answer.status_code != httpx.codes.OK:
                raise NotMeasuredError(f"status {answer.status_code}: {(await answer.aread())[:500]!r}")
            async for line in answer.aiter_lines():
                self._note(stream, line)
        if not stream.chunks_s or not stream.output_tokens:
            raise NotMeasuredError("a stream without tokens or without usage")
        return stream

    def _note(self, stream: Stream, line: str) -> None:
        data = line.removeprefix("data: ")
        if data in (line, "[DONE]"):
            return
        event: dict[str, Any] = orjson.loads(data)
        if event.get("choices"):
            stream.chunks_s.append(self._clock())
        if usage := event.get("usage"):
            stream.prompt_tokens, stream.output_tokens = usage["prompt_tokens"], usage["completion_tokens"]


@asynccontextmanager
async def client_of(base_url: str, api_key: str) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client without a limit on connections."""
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    limits = httpx.Limits(max_connections=None)
    base_url = base_url.rstrip("/").removesuffix("/v1")
    async with httpx.AsyncClient(base_url=base_url, headers=headers, limits=limits, timeout=TIMEOUT_S) as client:
        yield client


async def cache_size(client: httpx.AsyncClient) -> tuple[int, int] | None:
    """Return (blocks, tokens per block) of the KV cache from vLLM's /metrics; None = they do not say."""
    answer = await client.get("/metrics")
    families = text_string_to_metric_families(answer.text) if answer.status_code == httpx.codes.OK else ()
    for family in families:
        if family.name == "vllm:cache_config_info":
            labels = family.samples[0].labels
            return int(labels["num_gpu_blocks"]), int(labels["block_size"])
    return None
