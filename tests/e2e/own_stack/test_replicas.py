"""Two gateways of two workers each behind one Envoy: parts die, stand still and restart, nothing is lost or leaks."""

import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from tests.support.crowd import stopped
from tests.support.gateways import Gateways, running_gateways, tokens
from tests.support.outage import Load, Outcome, labels, request

pytestmark = pytest.mark.e2e
ASKED = {"stream_options": {"include_usage": True}}
SHORT = request("lgy", max_tokens=5)
STREAM = request("lgy", max_tokens=60, stream=True, **ASKED)
RPM, TPM = 40, 700
WINDOW_S = 60.0
STANDSTILL_S = 5.0
NO_ANSWER = {"no answer: closed", "no answer: ConnectionResetError", "no answer: ConnectionRefusedError"}
CUT_OFF = {"cut off: closed", "cut off: ConnectionResetError"}


@pytest.mark.parametrize("transport", ["http2", "grpc"])
async def test_a_rolling_restart_loses_no_request_and_counts_exactly(tmp_path: Path, transport: str):
    patient = {"settle_grace_s": 10}  # a busy machine passes entries on late
    async with running_gateways(tmp_path, transport=transport, drain_s=20, limits=patient) as stack:
        await stack.create("lgy", rpm=100_000)
        load = Load(stack.port, [SHORT] * 6 + [STREAM] * 4).start()
        await load.succeeds(time.monotonic(), 30)

        await stack.rolls_under(load, "lgy")


async def a_worker_killed(stack: Gateways) -> None:
    os.kill(stack.gateways[0].children()[0], signal.SIGKILL)


async def a_gateway_killed(stack: Gateways) -> None:
    await stack.gateways[1].restart(signal.SIGKILL)


async def redis_restarted(stack: Gateways) -> None:
    stack.redis.kill()
    stack.redis.start()


async def a_worker_stopped(stack: Gateways) -> None:
    async with stopped(stack.gateways[0].children()[1], 0.0, STANDSTILL_S):
        """Let the load go on."""


async def envoy_restarted(stack: Gateways) -> None:
    await stack.envoy.restart()


async def an_engine_killed(stack: Gateways) -> None:
    await stack.engines[0].end(signal.SIGKILL)


Fault = Callable[[Gateways], Awaitable[None]]
FAULTS: Sequence[tuple[Fault, set[str]]] = (
    (a_worker_killed, {"503"}),  # what was in its hands
    (a_gateway_killed, {"503"}),
    (redis_restarted, set()),
    (a_worker_stopped, set()),
    (envoy_restarted, NO_ANSWER | CUT_OFF),
    (an_engine_killed, CUT_OFF),  # the answers that ran there; what had not begun went to the other
)
"""Faults in the order in which they happen, and the outcomes beside 200 that requests may then have."""


async def test_faults_lose_nothing_that_could_be_served_overshoot_no_limit_and_leave_nothing_counted(tmp_path: Path):
    async with running_gateways(tmp_path, private=True) as stack:
        await stack.create("lgy", rpm=100_000)
        await stack.create("few", rpm=RPM)
        await stack.create("small", tpm=TPM)
        load = Load(stack.port, [SHORT] * 6 + [STREAM] * 4).start()
        few = Load(stack.port, [request("few", max_tokens=5)] * 2, pace_s=0.2).start()
        small = Load(stack.port, [request("small", max_tokens=5)], pace_s=0.2).start()
        await load.succeeds(time.monotonic(), 100)

        for fault, may_be in FAULTS:
            broken_s = time.monotonic()
            await fault(stack)
            await load.recovers()
            assert labels(load.since(broken_s)).keys() <= {"200"} | may_be, fault.__name__
        for each in (load, few, small):
            await each.stop()
        await stack.settles()

    assert 0 < most_in_a_window(few.outcomes, lambda _: 1) <= RPM
    assert 0 < most_in_a_window(small.outcomes, tokens) <= TPM
    assert "429" in labels(few.outcomes)
    assert "429" in labels(small.outcomes)


def most_in_a_window(outcomes: Sequence[Outcome], amount: Callable[[Outcome], int]) -> int:
    """The most that was certainly used within WINDOW_S."""
    served = [each for each in outcomes if each.label == "200"]
    return max(
        sum(amount(each) for each in served if first.sent_s <= each.sent_s and each.ended_s <= first.sent_s + WINDOW_S)
        for first in served
    )
