"""Four workers: Envoy spreads exchanges over them, each settles its own, together they count right.

A thousand requests at once are in test_bursts.py.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.support.stack import Stack, running_stack
from tests.support.waiting import until


@pytest.fixture(scope="module")
def four_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("four-workers"), workers=4, engines=3) as running:
        yield running


def exchanges(stack: Stack) -> list[int]:
    """Return the number of requests that Envoy has sent to each worker."""
    page = stack.users.get(stack.variables["ENVOY_ADMIN"] + "/clusters").text
    mine = [line for line in page.splitlines() if line.startswith("processor::127") and "::rq_total::" in line]
    return [int(line.rpartition("::")[2]) for line in mine]


def test_every_worker_gets_requests(four_workers: Stack):
    stack, user = four_workers, four_workers.user()
    assert 4 == len(stack.processes("gateway"))

    def all_are_used() -> bool:
        assert 200 == stack.chat(user, max_tokens=1).status_code
        return min(exchanges(stack)) > 5

    until(all_are_used, limit_s=20)
    assert 4 == len(exchanges(stack))


def test_usage_is_exact_although_exchanges_and_access_log_are_spread(four_workers: Stack):
    stack, user = four_workers, four_workers.user()
    stack.settled()
    before = stack.figure("forebay_requests_total", outcome="ok")

    def one(number: int) -> int:
        if number % 2:
            return int(stack.chat(user, max_tokens=3 + number).json()["usage"]["total_tokens"])
        with stack.stream(user, max_tokens=3 + number, stream_options={"include_usage": True}) as answer:
            answer.read()
        return 12 + 3 + number

    with ThreadPoolExecutor(8) as pool:
        used = list(pool.map(one, range(40)))

    stack.uses(user, 40, sum(used))
    assert 40 == stack.figure("forebay_requests_total", outcome="ok") - before


def test_a_limit_holds_over_all(four_workers: Stack):
    stack, user = four_workers, four_workers.user(rpm=10)

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: stack.chat(user, max_tokens=1).status_code, range(40)))

    assert (10, 30) == (statuses.count(200), statuses.count(429))
    stack.uses(user, 10, 10 * 13)


def test_an_update_binds_the_very_next_request_on_every_worker(four_workers: Stack):
    stack, user = four_workers, four_workers.user(rpm=1000)
    assert {200} == {stack.chat(user, max_tokens=1).status_code for _ in range(10)}

    stack.admin("/UpdateUser", name=user, rpm=0)
    assert {429} == {stack.chat(user, max_tokens=1).status_code for _ in range(10)}
    stack.admin("/DeleteUser", name=user)
    assert {401} == {stack.chat(user, max_tokens=1).status_code for _ in range(10)}


def everywhere(stack: Stack, condition: Callable[[list[dict[str, Any]]], bool]) -> bool:
    """Whether the pods are so at every worker: each look, by a new connection, is at one of them."""
    url = stack.variables["HTTP"] + "/debug/fleet"
    return all(condition(httpx.get(url, trust_env=False).json()) for _ in range(16))


def test_least_request_counts_what_other_workers_have_sent(four_workers: Stack):
    stack, user = four_workers, four_workers.user()
    stack.settled()
    pods: Counter[str] = Counter()
    body, headers = stack.body(stream=True, max_tokens=4000), {"user": user, "routing-strategy": "least-request"}

    with ExitStack() as opened:
        for count in range(1, 10):
            stream = stack.users.stream("POST", "/v1/chat/completions", json=body, headers=headers)
            pods[opened.enter_context(stream).headers["target-pod"]] += 1
            until(lambda wanted=count: everywhere(stack, lambda page: wanted == sum(pod["in_flight"] for pod in page)))

    assert [3, 3, 3] == list(pods.values())
    stack.settled()
    until(lambda: everywhere(stack, lambda page: {0} == {pod["in_flight"] for pod in page}))


def test_a_pod_that_failed_at_one_worker_is_avoided_by_all(four_workers: Stack):
    stack, user = four_workers, four_workers.user()
    broken = stack.engines[0].removeprefix("http://")
    stack.fault("error", engine=0, times=None)

    def is_ejected(page: list[dict[str, Any]]) -> bool:
        (pod,) = [pod for pod in page if pod["address"] == broken]
        return pod["failures"] >= 3 and pod["ejected"]  # for 4 s then

    def all_know() -> bool:
        stack.chat(user, max_tokens=1)
        return everywhere(stack, is_ejected)

    until(all_know, limit_s=30)
    assert broken not in {stack.chat(user, max_tokens=1).headers["target-pod-ip"] for _ in range(8)}
    stack.no_faults()
    stack.settled()


def test_streams_cut_on_all_leave_nothing_in_flight(four_workers: Stack):
    stack, user = four_workers, four_workers.user()
    streams = [stack.stream(user, max_tokens=1000) for _ in range(12)]
    for stream in streams:
        assert 200 == stream.__enter__().status_code
    until(lambda: 12 == stack.in_flight())
    for stream in streams:
        stream.__exit__(None, None, None)

    stack.settled()
    assert 12 == stack.usage(user)[0]
