"""Engines that fail, each in its way: what the user sees, what is charged, how it is counted."""

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.support.own_engine import own_engine
from tests.support.shapes import events
from tests.support.stack import Stack, on
from tests.support.tally import Tally

each_mode = on("impatient-metadata", "impatient-ext_proc")


@pytest.fixture(autouse=True)
def _mended(stack: Stack) -> Iterator[None]:
    yield
    stack.no_faults()
    stack.settled()


@each_mode
@pytest.mark.parametrize("stream", [False, True])
def test_a_500_reaches_the_user_as_it_is_and_costs_a_request_and_no_tokens(stack: Stack, stream: bool):
    user, tally = stack.user(), Tally(stack)
    stack.fault("error")

    answer = stack.chat(user, stream=stream)

    assert 500 == answer.status_code
    assert {"message", "type", "param", "code"} == answer.json()["error"].keys()
    assert "InternalServerError" == answer.json()["error"]["type"]
    assert answer.headers["target-pod"]
    stack.uses(user, 1, 0)
    assert {"upstream_error": 1} == tally.outcomes()
    assert tally.moved()["reserved"] == tally.moved()["refunded"] > 0


@each_mode
def test_an_engine_that_dies_in_a_stream_says_so_in_it_and_is_counted_as_a_failure(stack: Stack):
    user, tally = stack.user(), Tally(stack)
    stack.fault("die_mid_stream", after_tokens=5)

    with stack.stream(user, max_tokens=50) as answer:
        told = events(answer.read())

    assert (200, 500, "[DONE]") == (answer.status_code, told[-2]["error"]["code"], told[-1])
    assert {"upstream_error": 1} == tally.outcomes()
    requests, tokens = stack.usage(user)
    assert (1, True) == (requests, 6 + 4 <= tokens <= 16 + 8), tokens  # about 12 of prompt and 5 of output


@each_mode
def test_a_connection_that_breaks_in_a_stream_is_a_failure_and_no_success(stack: Stack):
    user, tally = stack.user(), Tally(stack)
    stack.fault("cut", after_tokens=5)

    with stack.stream(user, max_tokens=50) as answer, pytest.raises(httpx.RemoteProtocolError):
        answer.read()

    assert {"upstream_error": 1} == tally.outcomes()
    requests, tokens = stack.usage(user)
    assert (1, True) == (requests, 6 + 4 <= tokens <= 16 + 8), tokens


@each_mode
def test_an_engine_that_falls_silent_in_a_stream_is_given_up(stack: Stack):
    user, tally = stack.user(), Tally(stack)
    stack.fault("stall", after_tokens=5)

    with stack.stream(user, max_tokens=50) as answer, pytest.raises(httpx.RemoteProtocolError):
        answer.read()

    assert {"upstream_error": 1} == tally.outcomes()


@on("impatient-metadata")
def test_a_connection_closed_as_the_next_request_is_sent_is_not_seen_by_the_user(stack: Stack):
    user, tally = stack.user(), Tally(stack)
    for engine in range(2):  # whichever is asked first closes; the other one answers
        stack.no_faults()
        stack.fault("close_idle", engine)
        for _ in range(4):
            assert 200 == stack.chat(user, max_tokens=2).status_code

    stack.uses(user, 8, 8 * 14)
    assert {"ok": 8} == tally.outcomes()


@each_mode
def test_an_engine_that_never_answers_is_given_up_after_the_time_that_was_set(stack: Stack):
    user, tally = stack.user(), Tally(stack)
    stack.fault("never_answer")
    began_s = time.monotonic()

    answer = stack.chat(user)

    assert time.monotonic() - began_s < 20
    assert 504 == answer.status_code
    assert {"message", "type", "code", "param"} == answer.json()["error"].keys()
    assert "upstream_timeout" == answer.json()["error"]["code"]
    assert "application/json" == answer.headers["content-type"]
    stack.settled()
    assert {"upstream_error": 1} == tally.outcomes()
    stack.uses(user, 1, 0)


@each_mode
def test_an_engine_that_is_down_is_passed_over_and_the_one_that_answers_is_named(stack: Stack):
    user, tally = stack.user(), Tally(stack)
    with own_engine() as alive:
        with own_engine() as dead:
            stack.serve("pair", dead.address, alive.address)
        answers = [stack.chat(user, model="pair", headers={"routing-strategy": "random"}) for _ in range(16)]

        assert {200} == {answer.status_code for answer in answers}
        assert {("pair-1", alive.address)} == {(a.headers["target-pod"], a.headers["target-pod-ip"]) for a in answers}
        assert 16 == len(alive.received)
        stack.uses(user, 16, 16 * 12)
    nobody_left = stack.chat(user, model="pair")

    assert (503, "service_unavailable") == (nobody_left.status_code, nobody_left.json()["error"]["code"])
    stack.uses(user, 16, 16 * 12)  # nobody was sent it
    assert {"ok": 16, "upstream_error": 1} == tally.outcomes()
