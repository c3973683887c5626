"""Engines that other gateways use too: they report requests that are not ours."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx

from tests.support.own_engine import own_engine
from tests.support.stack import Stack
from tests.support.waiting import until

MODEL = "shared-with-others"
REQUESTS = 60


def page(running: int, waiting: int, kv_usage: float) -> bytes:
    """A page of metrics as vLLM has it."""
    gauges = {"num_requests_running": running, "num_requests_waiting": waiting, "kv_cache_usage_perc": kv_usage}
    return "".join(f'vllm:{name}{{model_name="{MODEL}"}} {value}\n' for name, value in gauges.items()).encode()


def loaded_by_others(stack: Stack) -> int:
    """The number of pods where the gateway knows of requests of others."""
    states = httpx.get(stack.variables["HTTP"] + "/debug/fleet", trust_env=False).json()
    return sum(state["foreign"]["waiting"] > 0 for state in states if MODEL in state["models"])


def test_pods_where_others_wait_get_next_to_nothing_and_their_share_when_those_have_left(stack: Stack):
    user = stack.user(rpm=10_000, tpm=10_000_000)

    def ask(_: int) -> int:
        return stack.chat(user, model=MODEL, max_tokens=2).status_code

    with ExitStack() as parts, ThreadPoolExecutor(6) as threads:
        engines = [parts.enter_context(own_engine()) for _ in range(3)]
        for engine in engines[:2]:
            engine.metrics = page(running=8, waiting=60, kv_usage=0.95)
        engines[2].metrics = page(running=0, waiting=0, kv_usage=0.0)
        stack.serve(MODEL, *[engine.address for engine in engines])
        until(lambda: loaded_by_others(stack) == 2)

        assert {200} == set(threads.map(ask, range(REQUESTS)))  # the first few while no speed is known
        assert len(engines[2].received) >= 0.9 * REQUESTS

        for engine in engines:
            engine.metrics = page(running=0, waiting=0, kv_usage=0.0)
            engine.received.clear()
        until(lambda: loaded_by_others(stack) == 0)
        assert {200} == set(threads.map(ask, range(REQUESTS)))
        assert all(len(engine.received) >= REQUESTS / 8 for engine in engines)
    stack.stop_serving(MODEL)
