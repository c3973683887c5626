"""Overload over four workers through a real Envoy: users take turns over all of them, as if the queue were one."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.own_stack.test_overload import ask, slow_stack
from tests.support.stack import Stack

SIZE = 4000
"""Bytes of a prompt of 1,000 tokens, a tenth of a second of prefill."""
WATCHED_S = 12.0
PAUSE_S = 0.1
"""Seconds until one who was refused tries again."""


@pytest.fixture(scope="module")
def four_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with slow_stack(tmp_path_factory.mktemp("four-slow"), workers=4) as stack:
        yield stack


def test_two_users_are_served_alike_however_much_each_sends(four_workers: Stack):
    stack, served = four_workers, Counter[str]()
    much, little = (stack.user(rpm=100_000, tpm=1_000_000_000) for _ in range(2))
    begun_s = time.monotonic()
    watched_s, ends_s = begun_s + 3.0, begun_s + 3.0 + WATCHED_S  # once both have requests that wait

    def keep_asking(user: str) -> None:
        while time.monotonic() < ends_s:
            if ask(stack, user, size=SIZE).status_code != 200:
                time.sleep(PAUSE_S)
            elif watched_s < time.monotonic() < ends_s:
                served[user] += 1

    with ThreadPoolExecutor(45) as threads:
        for user in [much] * 30 + [little] * 15:
            threads.submit(keep_asking, user)

    assert sum(served.values()) > 5 * WATCHED_S  # of 10 a second
    assert 0.6 < served[little] / served[much] < 1.6, served
    stack.settled()
