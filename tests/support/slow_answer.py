"""An answer of a simulated engine that takes as long as a test wants."""

import asyncio
from typing import Any

import httpx

from forebay.local.engines import MODEL
from tests.support.polling import until


async def a_long_answer(user: httpx.AsyncClient, url: str, tokens: int, tokens_per_s: int) -> asyncio.Task[Any]:
    """Begin a request that runs when this returns."""
    body = {"model": MODEL, "prompt": "Hi", "max_tokens": tokens, "min_tokens": tokens, "ignore_eos": True}
    await user.post(f"{url}/sim/speed", json={"tokens_per_s": tokens_per_s})
    answer = asyncio.create_task(user.post(f"{url}/v1/completions", json=body))

    async def runs() -> bool:
        return "vllm:num_requests_running{" in (page := (await user.get(f"{url}/metrics")).text) and any(
            line.startswith("vllm:num_requests_running{") and line.endswith(" 1.0") for line in page.splitlines()
        )

    await until(runs)
    return answer
