"""A thousand requests at once through four workers: exactly the limit, on a busy machine and with a worker stopped too.

FOREBAY_BURSTS sets the rounds of each situation; the rounds on the limiter alone are in
tests/contract/test_limiter_bursts.py.
"""

import contextlib
import os
import random
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.support.crowd import Crowd, busy_cores, crowd, stopped
from tests.support.outage import request
from tests.support.stack import COMBINATIONS, Stack, running_stack

BURSTS = int(os.environ.get("FOREBAY_BURSTS", "1"))
AT_ONCE, RPM, TPM = 1000, 100, 10_000
MOST_UNDECIDED = AT_ONCE // 50
"""503s of a burst at most: the last resort."""
STANDSTILL_S = 1.0
pytestmark = pytest.mark.timeout(120 + 30 * BURSTS)
MODES = ("http2-metadata", "grpc-metadata", "http2-full_duplex")


@pytest.fixture(scope="module")
def four_workers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data = tmp_path_factory.mktemp("bursts") / "up"
    with running_stack(data, workers=4, engines=3, config=COMBINATIONS[request.param]) as running:
        yield running


def undisturbed(stack: Stack) -> contextlib.AbstractAsyncContextManager[None]:
    return contextlib.nullcontext()


@contextlib.asynccontextmanager
async def busy(stack: Stack) -> AsyncIterator[None]:
    with busy_cores():
        yield


def a_worker_stopped(stack: Stack) -> contextlib.AbstractAsyncContextManager[None]:
    pid = random.choice(stack.processes("gateway"))["pid"]
    return stopped(pid, random.uniform(0.0, 0.3), STANDSTILL_S)


def redis_stopped(stack: Stack) -> contextlib.AbstractAsyncContextManager[None]:
    return stopped(stack.processes("redis")[0]["pid"], random.uniform(0.0, 0.3), STANDSTILL_S)


Situation = Callable[[Stack], contextlib.AbstractAsyncContextManager[None]]
in_every_situation = pytest.mark.parametrize("situation", [undisturbed, busy, a_worker_stopped, redis_stopped])


def on(*modes: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("four_workers", modes, indirect=True)


async def burst(stack: Stack, situation: Situation, user: str, max_tokens: int) -> Crowd:
    wire = request(user, max_tokens=max_tokens).replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
    async with situation(stack):
        seen = await crowd(int(stack.variables["GATEWAY"].rpartition(":")[2]), wire, AT_ONCE)
    sys.stdout.write(f"{situation.__name__}: {dict(seen.statuses)}\n")
    assert AT_ONCE == seen.statuses[200] + seen.statuses[429] + seen.statuses[503]
    assert seen.statuses[503] <= MOST_UNDECIDED
    return seen


@on(*MODES)
@in_every_situation
async def test_exactly_the_requests_allowed_are_admitted(four_workers: Stack, situation: Situation):
    for _ in range(BURSTS):
        seen = await burst(four_workers, situation, four_workers.user(rpm=RPM), 1)

        assert RPM == seen.statuses[200]
        assert list(range(RPM)) == sorted(seen.remaining)


@on(MODES[0])
@in_every_situation
async def test_no_more_than_the_tokens_allowed_are_used(four_workers: Stack, situation: Situation):
    for _ in range(BURSTS):
        user = four_workers.user(tpm=TPM)
        seen = await burst(four_workers, situation, user, 90)
        four_workers.settled()
        requests, tokens = four_workers.usage(user)

        assert 0 < seen.statuses[200] == requests
        assert tokens <= TPM
