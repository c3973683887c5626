"""The gateway, through Envoy, in front of two engines.  Last, because it kills one of them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from routing.table import STRATEGIES
from tests.support.engine_process import MODEL, EngineProcess
from tests.support.stack import Stack, running_stack
from tests.support.waiting import until

PREFIX_STRATEGY = "prefix-cache"


@pytest.fixture(scope="module")
def stack(engines: list[EngineProcess], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`forebay up` with these two and no engines of its own."""
    with running_stack(tmp_path_factory.mktemp("gateway"), engines=0) as running:
        running.serve(MODEL, *(engine.address for engine in engines))
        yield running


def the_chat(stack: Stack, user: str, **changes: object) -> dict[str, int]:
    """The usage of one that went well."""
    answer = stack.chat(user, **{"model": MODEL, "ignore_eos": True} | changes)
    assert 200 == answer.status_code, answer.text
    usage: dict[str, int] = answer.json()["usage"]
    return usage


@pytest.mark.parametrize("stream", [False, True])
def test_limits_settle_to_what_the_engine_used(stack: Stack, stream: bool) -> None:
    user = stack.user()
    used = the_chat(stack, user, max_tokens=30)["total_tokens"]
    if stream:
        asks = {"include_usage": True}  # only then is a stream charged exactly
        with stack.stream(user, model=MODEL, max_tokens=30, ignore_eos=True, stream_options=asks) as answer:
            answer.read()

    stack.uses(user, 1 + stream, used * (1 + stream))


@pytest.mark.skipif(PREFIX_STRATEGY not in STRATEGIES, reason=f"there is no strategy {PREFIX_STRATEGY} yet")
def test_prefix_affinity_raises_the_engines_own_hits(stack: Stack, engines: list[EngineProcess]) -> None:
    def hits() -> float:
        return sum(engine.figure("vllm:prefix_cache_hits_total") for engine in engines)

    def sent(strategy: str) -> float:
        """Hits of ten turns of a conversation that grows."""
        user, before, text = stack.user(), hits(), ""
        for _ in range(10):
            text += f"{uuid4()} " * 10
            messages = [{"role": "user", "content": text}]
            answer = stack.chat(user, headers={"routing-strategy": strategy}, model=MODEL, messages=messages)
            assert 200 == answer.status_code, answer.text
        return hits() - before

    assert sent("random") < sent(PREFIX_STRATEGY)


def test_a_killed_engine_loses_no_request_that_the_other_can_serve(stack: Stack, engines: list[EngineProcess]) -> None:
    user, count = stack.user(), 8
    with ThreadPoolExecutor(count) as threads:
        answers = [threads.submit(the_chat, stack, user, max_tokens=80) for _ in range(count)]
        until(lambda: all(engine.figure("vllm:num_requests_running") for engine in engines), limit_s=30)
        engines[1].kill()
        used = [answer.result()["total_tokens"] for answer in answers]
    used += [the_chat(stack, user)["total_tokens"] for _ in range(count)]

    stack.uses(user, 2 * count, sum(used))
