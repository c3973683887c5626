"""`forebay up --mix`: replicas of two GPU types follow the traffic, and requests go where the plan has them."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.stack import Stack, running_stack
from tests.support.steady_load import steady_load
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TYPES = "L20:1.0:0:2,V100:0.4:1:2"
LIMIT_S = 120.0
"""For a busy machine: traffic is told every 10 s and decided on every 5."""
CHAT = {"per_s": 3.0, "prompt_tokens": 200, "output_tokens": 100}
LONG = {"per_s": 0.3, "prompt_tokens": 2600, "output_tokens": 30}


def serving(stack: Stack) -> dict[str, int]:
    """Engines that serve, by deployment."""
    deployments = yaml.safe_load((stack.data / "deployments.yaml").read_text())["deployments"]
    return {each["name"]: each["ready"] for each in deployments}


def becomes(stack: Stack, condition: Callable[[dict[str, int]], object]) -> None:
    until(lambda: condition(serving(stack)), limit_s=LIMIT_S, every_s=0.2)


def optimizer(stack: Stack) -> int:
    (process,) = stack.processes("optimizer")
    return int(process["pid"])


def publishes(stack: Stack, deployment: str) -> bool:
    """Whether the optimizer publishes replicas."""
    try:
        page = httpx.get(f"{stack.variables['OPTIMIZER']}/metrics/default/{deployment}", trust_env=False).text
    except httpx.TransportError:
        return False
    lines = [line for line in page.splitlines() if line.startswith("vllm:deployment_replicas")]
    return any(float(line.split()[-1]) > 0 for line in lines)


def test_replicas_follow_the_traffic_and_long_prompts_go_to_the_type_that_keeps_the_slo(tmp_path: Path):
    options = ("--mix", TYPES, "--startup-s", "1")
    with running_stack(tmp_path, engines=None, options=options) as stack:
        assert {"l20": 0, "v100": 1} == serving(stack)

        with steady_load(stack, **CHAT) as chat:  # short chat: more replicas
            becomes(stack, lambda ready: sum(ready.values()) > 1)

            with steady_load(stack, **LONG) as long:  # long prompts: only L20s are planned for them
                becomes(stack, lambda ready: ready["l20"] > 0)
                until(lambda: any(pod.startswith("l20") for pod in long.pods), limit_s=LIMIT_S)
                before = len(long.answers)
                until(lambda: len(long.later(before)) >= 6, limit_s=LIMIT_S)
                by_plan = [pod for _, pod, why in long.later(before) if "fallback" not in why]
                assert all(pod.startswith("l20") for pod in by_plan), long.later(before)

            # The optimizer is killed: requests go on, and it is started again and goes on.
            killed, sent = optimizer(stack), len(chat.answers)
            os.kill(killed, signal.SIGKILL)
            until(lambda: stack.processes("optimizer") and optimizer(stack) != killed, limit_s=LIMIT_S)
            until(lambda: publishes(stack, "v100"), limit_s=LIMIT_S)
            until(lambda: len(chat.later(sent)) >= 6, limit_s=LIMIT_S)
        assert {200} == {status for status, _, _ in [*chat.answers, *long.answers]}

        becomes(stack, lambda ready: ready == {"l20": 0, "v100": 1})  # the load has stopped
        with steady_load(stack, **CHAT):  # and returns
            becomes(stack, lambda ready: sum(ready.values()) > 1)


def test_sigterm_while_engines_start_and_drain_leaves_nothing_behind(tmp_path: Path):
    stack = Stack(tmp_path, engines=None, options=("--mix", TYPES, "--startup-s", "60"))
    try:
        stack.wait_until_ready()
        with steady_load(stack, **CHAT):
            until(lambda: len(stack.processes("engine")) > 1, limit_s=LIMIT_S, every_s=0.2)
    finally:
        assert 0 == stack.end(signal.SIGTERM), "\n".join(stack.lines)
    assert [] == stack.left_over()
    assert {"l20": 0, "v100": 1} == serving(stack)
