"""Traffic as planners read it: two workers behind a real Envoy write one trace of a model, with every request in it."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from tests.support.stack import Stack, running_stack
from tests.support.waiting import until
from traffic.window import WINDOW_S, index_of

SHAPES = [("short", 3), ("middling " * 60, 20), ("long " * 900, 7)]
"""A prompt and the output tokens that are asked for."""
EACH = 4
ATTEMPTS = 5
"""A window may end while requests are under way on a busy machine; then it is tried again."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("traffic"), workers=2, engines=2) as running:
        yield running


@pytest.fixture(scope="module")
def redis(stack: Stack) -> Iterator[Redis]:
    with Redis.from_url(stack.variables["REDIS_URL"]) as client:
        yield client


def window_of(redis: Redis) -> int:
    """The window that runs, by the time at which it ends."""
    return int((redis.time()[0] // WINDOW_S + 1) * WINDOW_S)


def send_in_one_window(stack: Stack, redis: Redis, user: str) -> tuple[int, Counter[str]]:
    """Send EACH of the shapes to their end within one window; return its end and the cells of the usage."""

    def one(shape: tuple[str, int]) -> str:
        prompt, tokens = shape
        usage = stack.chat(user, max_tokens=tokens, messages=[{"role": "user", "content": prompt}]).json()["usage"]
        return f"{index_of(usage['prompt_tokens'])}:{index_of(usage['completion_tokens'])}"

    for _ in range(ATTEMPTS):
        before = window_of(redis)
        until(lambda before=before: window_of(redis) > before, limit_s=2 * WINDOW_S)  # type: ignore[misc]  # of a lambda
        ends_at_s = window_of(redis)
        with ThreadPoolExecutor(4) as pool:
            cells = Counter(pool.map(one, SHAPES * EACH))
        stack.settled()
        if window_of(redis) == ends_at_s:
            return ends_at_s, cells
    raise AssertionError("no window was long enough")


def trace(redis: Redis, model: str, ends_at_s: int) -> dict[str, int]:
    """A trace as AIBrix's reader of version 4 takes it."""
    fields = json.loads(redis.get(f"aibrix:{model}_request_trace_{ends_at_s}"))
    assert all(type(count) is int for count in fields.values())
    assert all(re.fullmatch(r"\d+:\d+", name) for name in fields if not name.startswith("meta_"))
    return fields


def writers(fields: dict[str, int]) -> list[str]:
    return [name for name in fields if name.startswith("meta_by_")]


def test_two_workers_write_one_trace_with_every_request_in_its_cell(stack: Stack, redis: Redis):
    user = stack.user()
    ends_at_s, cells = send_in_one_window(stack, redis, user)
    assert len(SHAPES) == len(cells)
    key = f"aibrix:{stack.model}_request_trace_{ends_at_s}"

    def both_have_written() -> bool:
        return bool(redis.exists(key)) and 2 == len(writers(trace(redis, stack.model, ends_at_s)))

    until(both_have_written, limit_s=3 * WINDOW_S)
    fields = trace(redis, stack.model, ends_at_s)
    assert cells == {name: count for name, count in fields.items() if not name.startswith("meta_")}
    sent = EACH * len(SHAPES)
    assert (4, 10, 10, sent, 0, 0, 0) == tuple(
        fields[f"meta_{name}"]
        for name in ("v", "interval_sec", "precision", "total_reqs", "pending_reqs", "queueing_reqs", "refused")
    )
    arrived = {name: count for name, count in fields.items() if re.fullmatch(r"meta_in_\d+", name)}
    assert sent == sum(arrived.values())
    assert len(SHAPES) <= len(arrived)
    assert 0 < redis.ttl(key) <= 600


def test_only_models_of_the_gateway_have_traces(stack: Stack, redis: Redis):
    assert 404 == stack.chat(stack.user(), model="made-up").status_code
    ends_at_s = window_of(redis)
    until(lambda: bool(redis.exists(f"aibrix:{stack.model}_request_trace_{ends_at_s}")), limit_s=3 * WINDOW_S)
    time.sleep(1.0)  # for the other worker

    keys = [key.decode() for key in redis.scan_iter(match="aibrix:*_request_trace_*")]
    assert {stack.model} == {re.sub(r"aibrix:(.*)_request_trace_\d+", r"\1", key) for key in keys}
    assert "written" in {dict(labels)["outcome"] for name, labels in stack.metrics() if "traffic_reports" in name}
