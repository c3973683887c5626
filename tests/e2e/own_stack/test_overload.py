"""Overload through a real Envoy: requests wait in the gateway, users in turn, and what comes too late is refused."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.stack import Stack, running_stack
from tests.support.waiting import until

SLO = "routing: {slo_ttft_s: 6, slo_itl_s: 1}"
GPU = """
speed: {a: 0.002, b: 0.0001, c: 0, d: 0, e: 0}
kv_blocks: 20000
block_tokens: 16
pass_tokens: 2048
"""
"""10,000 prompt tokens a second."""
BYTES = 20_000
"""The size of a prompt of 5,000 tokens, half a second of prefill."""


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with slow_stack(tmp_path_factory.mktemp("slow")) as stack:
        yield stack


@contextmanager
def slow_stack(data: Path, workers: int = 1) -> Iterator[Stack]:
    """One slow engine behind so many workers, which have learned its speed."""
    gpu = data / "slow.yaml"
    gpu.write_text(GPU)
    with running_stack(data, engines=1, workers=workers, config=SLO, gpu=str(gpu)) as stack:
        user = stack.user()
        for number in range(16):
            assert 200 == ask(stack, user, size=1000 * number).status_code
        yield stack


def ask(stack: Stack, user: str, size: int = BYTES, **options: float) -> httpx.Response:
    """A prompt that no other begins like."""
    words = f"{user} {time.perf_counter_ns()} "
    body = stack.body(messages=[{"role": "user", "content": words * (1 + size // len(words))}], max_tokens=2)
    return stack.users.post("/v1/chat/completions", json=body, headers={"user": user}, **options)


def waiting(stack: Stack) -> int:
    page = httpx.get(stack.variables["HTTP"] + "/debug/waiting", trust_env=False).json()
    return page[stack.model]["waiting"] if stack.model in page else 0


def test_a_user_who_sends_little_is_not_held_up_by_one_who_floods(slow: Stack):
    much, little = slow.user(rpm=1000, tpm=10_000_000), slow.user(rpm=1000, tpm=10_000_000)
    with ThreadPoolExecutor(40) as threads:
        flood = [threads.submit(ask, slow, much) for _ in range(40)]
        until(lambda: waiting(slow) > 3)
        served = [ask(slow, little) for _ in range(4)]
        answers = [request.result() for request in flood]

    assert [200] * 4 == [answer.status_code for answer in served]
    assert {200, 429} == {answer.status_code for answer in answers}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert "overloaded" == refused.json()["error"]["code"]
    assert 1 <= int(refused.headers["retry-after"]) < 40
    assert any("waited" in answer.headers.get("x-forebay-decision", "") for answer in answers)
    admitted = sum(answer.status_code == 200 for answer in answers)
    slow.settled()
    assert admitted == slow.usage(much)[0]  # what was refused was not charged
    assert slow.figure("forebay_wait_seconds_count") > 0
    until(lambda: slow.figure("forebay_requests_waiting") == 0)


def test_a_client_that_leaves_while_it_waits_is_neither_sent_nor_charged(slow: Stack):
    much, hasty = slow.user(rpm=1000, tpm=10_000_000), slow.user(rpm=1000, tpm=10_000_000)
    slow.settled()
    arrived = slow.engine_figure("vllm:e2e_request_latency_seconds_count")
    with ThreadPoolExecutor(10) as threads:
        flood = [threads.submit(ask, slow, much) for _ in range(8)]
        until(lambda: waiting(slow) > 3)
        before = slow.figure("forebay_refusals_total", kind="client_gone")
        with pytest.raises(httpx.ReadTimeout):
            ask(slow, hasty, timeout=0.1)
        until(lambda: slow.figure("forebay_refusals_total", kind="client_gone") == before + 1)
        sent = sum(request.result().status_code == 200 for request in flood)

    slow.settled()
    assert (0, 0) == slow.usage(hasty)
    assert sent == slow.usage(much)[0]
    assert arrived + sent == slow.engine_figure("vllm:e2e_request_latency_seconds_count")
