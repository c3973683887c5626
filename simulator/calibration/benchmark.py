"""Measures a live engine: TTFT and ITL over a small grid of prompt lengths and concurrencies.

Lives here: what is measured.  Not here: requests and their times (streams), fitting a profile to them (fit).
"""

import asyncio
from collections.abc import Callable
from statistics import median

import httpx
from prometheus_client.parser import text_string_to_metric_families

from simulator.calibration.fit import Decode, Prefill
from simulator.calibration.streams import PROBE_WORDS, Prompts, Stream, stream

REPEATS = 3
"""Prefills measured of each length; the median counts (chosen)."""
STEADY_TOKENS = 32
"""Minimum number of tokens that each response of a group generates while all others decode too (chosen)."""


class Benchmark:
    """Measures one engine that is otherwise idle.  `pass_tokens` is the most new tokens that it computes in a pass."""

    def __init__(self, client: httpx.AsyncClient, model: str, pass_tokens: int) -> None:
        self._client = client
        self._model = model
        self._pass_tokens = pass_tokens
        self._prompts = Prompts()
        self._clock: Callable[[], float] = asyncio.get_running_loop().time

    async def warm_up(self) -> None:
        """Learn how many tokens a word has; the engine's first requests, which are slower, are not measured."""
        for _ in range(REPEATS):
            probe = await self._stream(self._prompts.of_words(PROBE_WORDS), 4)
            self._prompts.tokens_per_word = probe.prompt_tokens / PROBE_WORDS

    async def prefill(self, prompt_tokens: int) -> Prefill:
        """Return the TTFT of prompts of about this length."""
        streams = [await self._stream(self._prompts.of_tokens(prompt_tokens), 1) for _ in range(REPEATS)]
        seconds = median(stream.chunks_s[0] - stream.sent_s for stream in streams)
        return Prefill(round(median(stream.prompt_tokens for stream in streams)), seconds)

    async def decode(self, sequences: int, prompt_tokens: int) -> Decode | None:
        """Return the ITL of so many concurrent responses; None = the engine does not generate so many at once."""
        others_prefill = sequences * (prompt_tokens // self._pass_tokens + 2)
        limit = STEADY_TOKENS + others_prefill
        prompts = [self._prompts.of_tokens(prompt_tokens) for _ in range(sequences)]
        streams = await asyncio.gather(*(self._stream(prompt, limit) for prompt in prompts))
        begin_s = max(stream.chunks_s[0] for stream in streams)
        end_s = min(stream.chunks_s[-1] for stream in streams)
        if end_s <= begin_s:
            return None
        before = [stream.tokens_by(begin_s) for stream in streams]
        after = [stream.tokens_by(end_s) for stream in streams]
        lengths = [stream.prompt_tokens + (a + b) / 2 for stream, a, b in zip(streams, before, after, strict=True)]
        tokens = sum(after) - sum(before)
        return Decode(sequences, sum(lengths) / sequences, (end_s - begin_s) * sequences / tokens)

    async def _stream(self, prompt: str | list[int], limit: int) -> Stream:
        body = {"model": self._model, "prompt": prompt, "max_tokens": limit, "ignore_eos": True, "temperature": 0}
        return await stream(self._client, body, self._clock)


async def cache_size(client: httpx.AsyncClient) -> tuple[int, int] | None:
    """Return (blocks, tokens per block) of the KV cache from vLLM's /metrics; None = they do not say."""
    answer = await client.get("/metrics")
    families = text_string_to_metric_families(answer.text) if answer.status_code == httpx.codes.OK else ()
    for family in families:
        if family.name == "vllm:cache_config_info":
            labels = family.samples[0].labels
            return int(labels["num_gpu_blocks"]), int(labels["block_size"])
    return None
