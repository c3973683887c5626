"""Streams whose usage nobody asks for, through a real Envoy: charged within 2 % in total once the model is warm."""

import asyncio
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.stack import Stack, running_stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

WARM_UP, TESTED = 60, 100
AT_ONCE = 6
SCRAPE_S = 0.5
"""Shorter than by default, so that counters tell something in seconds."""
WORDS = (
    "the quick brown fox jumps over a lazy dog while water turns wheels of power near river gates",
    "über die Brücke läuft größere Strömung während Mühlräder langsam weiterdrehen",
    "вода течёт через мельницу быстро медленно река ворота сила",
    "水流 过 磨坊 转动 轮子 力量 很大 河边 的 门 慢慢 打开",
)


def a_body(rng: random.Random, model: str, *, asks: bool) -> tuple[str, dict[str, Any]]:
    """A path and a body: chat or a completion, in some language, of any length, with a maximum or without."""
    body: dict[str, Any] = {"model": model, "stream": True}
    if asks:
        body["stream_options"] = {"include_usage": True}
    if rng.random() < 0.7:
        body["max_tokens"] = 1 + int(rng.lognormvariate(4, 0.8))
    if rng.random() < 0.2:
        return "/v1/completions", body | {"prompt": a_text(rng), "max_tokens": 1 + int(rng.lognormvariate(3, 1))}
    roles = ["system", "user"] if rng.random() < 0.3 else ["user"]
    return "/v1/chat/completions", body | {"messages": [{"role": role, "content": a_text(rng)} for role in roles]}


def a_text(rng: random.Random) -> str:
    return " ".join(rng.choices(rng.choice(WORDS).split(), k=1 + int(rng.lognormvariate(4, 1.2))))


async def streamed(stack: Stack, seed: int, requests: int, *, asks: bool) -> None:
    rng, turns = random.Random(seed), asyncio.Semaphore(AT_ONCE)
    address = stack.variables["GATEWAY"]
    async with httpx.AsyncClient(base_url=address, headers={"user": "u"}, trust_env=False, timeout=60) as client:

        async def one(path: str, body: dict[str, Any]) -> None:
            async with turns, client.stream("POST", path, json=body) as answer:
                said = await answer.aread()
            assert 200 == answer.status_code
            assert asks is (b'"usage"' in said)

        await asyncio.gather(*(one(*a_body(rng, stack.model, asks=asks)) for _ in range(requests)))


def figures(stack: Stack) -> list[float]:
    """Tokens of prompts and outputs, as charged and as the engines counted them."""
    stack.settled()
    charged = [stack.figure("forebay_tokens_total", kind=kind) for kind in ("input", "output")]
    return charged + [stack.engine_figure(f"vllm:{kind}_tokens_total") for kind in ("prompt", "generation")]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    config = f"scrape: {{interval_s: {SCRAPE_S}}}"
    with running_stack(tmp_path / "up", gpu="H100", config=config) as running:
        running.admin("/CreateUser", name="u", tpm=10_000_000)
        yield running


@pytest.mark.parametrize("calibrated_by", ["streams that ask", "counters"])
def test_a_hundred_streams_are_charged_within_two_percent(stack: Stack, calibrated_by: str):
    asyncio.run(streamed(stack, 1, WARM_UP, asks=calibrated_by == "streams that ask"))
    time.sleep(3 * SCRAPE_S)
    before = figures(stack)

    asyncio.run(streamed(stack, 2, TESTED, asks=False))

    prompt, output, real_prompt, real_output = (
        after - earlier for after, earlier in zip(figures(stack), before, strict=True)
    )
    total, real = prompt + output, real_prompt + real_output
    sys.stdout.write(
        f"\n{calibrated_by}: prompts {prompt / real_prompt - 1:+.2%}, outputs {output / real_output - 1:+.2%}, "
        f"total {total / real - 1:+.2%} of {real:.0f} tokens\n"
    )
    assert abs(total / real - 1) < 0.02
    assert abs(output / real_output - 1) < 0.02
