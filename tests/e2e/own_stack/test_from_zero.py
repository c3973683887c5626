"""`forebay up --autoscale` down to no engine and up again: nothing is lost, and nothing is cut."""

import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import orjson
import pytest

from tests.support.raw_http import connected, request
from tests.support.stack import COMBINATIONS, Stack, running_stack
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

STRATEGY = "KPA:metric=waiting,target=50,stable-window=3s,panic-window=3s,scale-down-delay=0s"
"""Nothing ever waits in an engine, so that one goes some seconds after it has come, whatever it does."""
OPTIONS = ("--autoscale", STRATEGY, "--min", "0", "--max", "2", "--startup-s", "1")
MOST = 20
BOUND = f"scale_from_zero: {{most_waiting: {MOST}, longest_wait_s: 60}}"
LIMIT_S = 60.0
"""For a busy machine."""


@pytest.fixture(scope="module")
def zero(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("zero"), engines=None, options=OPTIONS, config=BOUND) as stack:
        yield stack


def states(stack: Stack) -> list[str]:
    """Those of the engines that the gateway knows."""
    page = httpx.get(stack.variables["HTTP"] + "/debug/endpoints", trust_env=False).json()
    return [pod["state"] for pod in page]


def at_zero(stack: Stack) -> None:
    """Wait until no engine is left, and the gateway knows it."""
    until(lambda: not stack.processes("engine"), limit_s=LIMIT_S)
    until(lambda: not states(stack))


def said(stack: Stack, text: str) -> int:
    return sum(text in line for line in stack.lines)


def waiting(stack: Stack) -> int:
    page = httpx.get(stack.variables["HTTP"] + "/debug/waiting", trust_env=False).json()
    return sum(model["waiting"] for model in page.values())


def in_flight_before(answer: httpx.Response) -> int:
    found = re.search(r"(\d+) in flight", answer.headers["x-forebay-decision"])
    assert found
    return int(found[1])


@pytest.mark.parametrize("config", ["grpc-metadata", "http2-full_duplex"])
def test_an_answer_and_a_stream_wait_for_their_engine_however_envoy_asks(tmp_path: Path, config: str):
    with running_stack(tmp_path, engines=None, options=OPTIONS, config=COMBINATIONS[config]) as stack:
        user = stack.user()
        with ThreadPoolExecutor(1) as thread, stack.stream(user) as events:
            plain = thread.submit(stack.chat, user)
            assert (200, "[DONE]") == (events.status_code, [line for line in events.iter_lines() if line][-1][6:])
            assert 200 == plain.result().status_code
        assert 1 == said(stack, "engine: 0 -> 1 replicas: woken by requests that wait")
        stack.settled()
        assert 2 == stack.usage(user)[0]


def test_a_burst_is_one_wake_and_answered_in_order_and_beyond_the_bound_it_is_503(zero: Stack):
    at_zero(zero)
    woken, user, refused = said(zero, "engine: 0 -> 1"), zero.user(), zero.user()
    answers: list[Future[httpx.Response]] = []
    with ThreadPoolExecutor(MOST) as threads:
        for number in range(MOST):
            answers.append(threads.submit(zero.chat, user, max_tokens=200))
            until(lambda number=number: waiting(zero) > number or said(zero, "serves"), limit_s=LIMIT_S)  # type: ignore[misc]  # mypy knows no defaults
        beyond = zero.chat(refused) if waiting(zero) == MOST else None
        got = [answer.result() for answer in answers]

    assert {200} == {answer.status_code for answer in got}
    at_once = [answer for answer in got if "waited" in answer.headers["x-forebay-decision"]]
    assert list(range(len(at_once))) == [in_flight_before(answer) for answer in at_once]
    assert woken + 1 == said(zero, "engine: 0 -> 1")
    assert 0 == said(zero, "engine: 1 -> 2")
    zero.settled()
    assert MOST == zero.usage(user)[0]
    if beyond is not None:
        assert (503, "true") == (beyond.status_code, beyond.headers["x-error-no-model-backends"])
        assert int(beyond.headers["retry-after"]) > 0
        assert (0, 0) == zero.usage(refused)


def test_who_leaves_gives_its_place_and_its_charge_back(zero: Stack):
    at_zero(zero)
    user = zero.user()
    body = orjson.dumps(zero.body())
    with connected(zero.variables["GATEWAY"]) as connection:
        connection.sendall(request("/v1/chat/completions", body, b"user: " + user.encode()))
        until(lambda: waiting(zero) == 1 or zero.in_flight(), limit_s=LIMIT_S)
        has_waited = waiting(zero) == 1
    until(lambda: waiting(zero) == 0)
    zero.settled()
    if has_waited:
        assert (0, 0) == zero.usage(user)


def test_a_drain_cuts_no_stream_and_who_comes_meanwhile_gets_another_engine(zero: Stack):
    at_zero(zero)
    user = zero.user()
    assert 200 == zero.chat(user).status_code
    ((endpoint,),) = [model["endpoints"] for model in zero.models()]
    speed = {"tokens_per_s": 10}
    httpx.post(f"http://{endpoint['address']}/sim/speed", json=speed, trust_env=False).raise_for_status()

    with zero.stream(user, max_tokens=150, ignore_eos=True) as events:
        lines = events.iter_lines()
        first = next(lines)
        old = events.headers["target-pod"]
        until(lambda: states(zero) == ["gone"], limit_s=LIMIT_S)
        meanwhile = zero.chat(user)
        rest = [line for line in lines if line]

    assert first.startswith("data:")
    assert "data: [DONE]" == rest[-1]
    assert (200, False) == (meanwhile.status_code, meanwhile.headers["target-pod"] == old)
    until(lambda: said(zero, f"{old} ended"), limit_s=LIMIT_S)


def test_an_adapter_wakes_its_model_and_is_waited_for_until_it_is_loaded(zero: Stack):
    user = zero.user()
    with zero.stream(user, max_tokens=400, ignore_eos=True) as events:
        assert 200 == events.status_code
        until(lambda: states(zero) == ["ready"])
        body = {"model": zero.variables["MODEL"], "name": "tuned", "path": "/adapters/tuned"}
        loaded = httpx.post(f"{zero.variables['ADMIN']}/LoadAdapter", json=body, trust_env=False, timeout=LIMIT_S)
        assert 200 == loaded.status_code, loaded.text
    at_zero(zero)

    answer = zero.chat(user, model="tuned")

    assert (200, "tuned") == (answer.status_code, answer.json()["model"])
    body = {"name": "tuned"}
    httpx.post(f"{zero.variables['ADMIN']}/UnloadAdapter", json=body, trust_env=False).raise_for_status()


def test_while_redis_is_away_requests_wait_and_the_wake_comes_when_it_is_back(zero: Stack):
    at_zero(zero)
    (redis,) = zero.processes("redis")
    os.kill(redis["pid"], signal.SIGSTOP)
    with ThreadPoolExecutor(1) as thread:
        try:
            answer = thread.submit(zero.users.post, "/v1/chat/completions", json=zero.body(), timeout=120)
            until(lambda: waiting(zero) == 1, limit_s=LIMIT_S)
            time.sleep(1.0)
        finally:
            with suppress(ProcessLookupError):
                os.kill(redis["pid"], signal.SIGCONT)
        assert 200 == answer.result().status_code
