"""A minute waited out: `retry-after` names the moment, not before and not after it.

A thread waits while other tests run: the first of these tests runs before and the second after all of them (conftest).
"""

import math
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.support.stack import Stack, running_stack

TRUE_WITHIN_S = 0.05
EARLY_S = (1.0, 0.3, TRUE_WITHIN_S)


@dataclass
class Patience:
    """The waits of a user with one request a minute, as headers said and as they were."""

    header_s: int
    exact_s: float
    early: list[bool] = field(default_factory=list)  # admitted?  Only answers that came before the moment
    late: int = 0


@pytest.fixture(scope="session")
def patience(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Patience]]:
    """Watch one user on a stack of its own, which has nothing else to do."""
    with running_stack(tmp_path_factory.mktemp("patient"), engines=1) as running, ThreadPoolExecutor(1) as thread:
        running.admin("/CreateUser", name="patient", rpm=1)
        yield thread.submit(waiting_it_out, running)


def waiting_it_out(stack: Stack) -> Patience:
    assert 200 == stack.chat("patient", max_tokens=1).status_code
    refused = stack.chat("patient", max_tokens=1)
    asked_s = time.monotonic()
    exact_s = stack.admin("/users/patient/check", tokens=1).json()["retry_after_s"]
    told_s = time.monotonic()  # the moment is exact_s after an instant between the two
    met = Patience(int(refused.headers["retry-after"]), exact_s)
    for early_s in EARLY_S:
        sleep_until(asked_s + exact_s - early_s)
        admitted = stack.admin("/users/patient/check", tokens=1).json()["admitted"]
        if time.monotonic() < asked_s + exact_s:  # on a busy machine the question may come late
            met.early.append(admitted)
    sleep_until(told_s + exact_s + TRUE_WITHIN_S)
    met.late = stack.chat("patient", max_tokens=1).status_code
    return met


def sleep_until(moment_s: float) -> None:
    time.sleep(max(0.0, moment_s - time.monotonic()))


def test_a_minute_begins(patience: Future[Patience]):
    assert patience.running() or patience.done()


@pytest.mark.timeout(180)
def test_retry_after_is_true(patience: Future[Patience]):
    met = patience.result()

    assert 50 < met.exact_s <= 60
    assert met.header_s in {math.ceil(met.exact_s), math.ceil(met.exact_s) + 1}  # it was asked a moment earlier
    assert True not in met.early
    assert 200 == met.late
