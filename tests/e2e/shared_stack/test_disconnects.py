"""Clients that leave: nothing stays in flight, every reservation closes, what was produced is charged."""

import contextlib
import socket
import struct

import httpx
import pytest

from tests.support.raw_http import connected, request
from tests.support.stack import Stack, on
from tests.support.waiting import until

pytestmark = on("impatient-metadata", "impatient-ext_proc", "grpc-metadata")


def outcomes(stack: Stack, outcome: str) -> float:
    return stack.figure("forebay_requests_total", outcome=outcome)


def idle_engines(stack: Stack) -> bool:
    return 0 == stack.engine_figure("vllm:num_requests_running") + stack.engine_figure("vllm:num_requests_waiting")


def test_a_client_that_leaves_in_a_stream_is_charged_what_was_produced(stack: Stack):
    """Tolerance: the prompt within its estimate (6 to 16 for 12), the output from what was read to 10 tokens more,
    0.2 s of generation that the client did not wait for."""
    user, cut = stack.user(), outcomes(stack, "cut")

    with stack.stream(user, max_tokens=500) as answer:
        lines = (line for line in answer.iter_lines() if line.startswith("data:"))
        read = [next(lines) for _ in range(31)]  # the first has no content

    until(lambda: idle_engines(stack))
    stack.settled()
    requests, tokens = stack.usage(user)
    assert (1, 1) == (requests, outcomes(stack, "cut") - cut)
    assert 6 + 0.9 * (len(read) - 1) <= tokens <= 16 + (len(read) - 1) + 10
    assert tokens < 500


def test_a_client_that_leaves_before_the_first_token_is_charged_no_output(stack: Stack):
    user, cut = stack.user(), outcomes(stack, "cut")
    stack.fault("never_answer")

    with pytest.raises(httpx.ReadTimeout):
        stack.users.post("/v1/chat/completions", json=stack.body(), headers={"user": user}, timeout=0.5)
    stack.no_faults()

    until(lambda: idle_engines(stack))
    stack.settled()
    assert 1 == outcomes(stack, "cut") - cut
    requests, tokens = stack.usage(user)
    assert (1, True) == (requests, tokens <= 16), tokens


def test_a_client_that_leaves_while_a_whole_answer_is_made_frees_its_engine(stack: Stack):
    user = stack.user()

    with pytest.raises(httpx.ReadTimeout):
        stack.users.post("/v1/chat/completions", json=stack.body(max_tokens=500), headers={"user": user}, timeout=0.5)

    until(lambda: idle_engines(stack))
    stack.settled()
    assert stack.usage(user)[0] == 1


def test_a_connection_that_is_reset_is_an_end_like_any_other(stack: Stack):
    user = stack.user()
    body = httpx.Request("POST", "http://x", json=stack.body(stream=True, max_tokens=500)).content
    with connected(stack.variables["GATEWAY"]) as connection:
        connection.sendall(request("/v1/chat/completions", body, b"user: " + user.encode()))
        assert b"200 OK" in connection.recv(4096)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    until(lambda: idle_engines(stack))
    stack.settled()
    assert stack.usage(user)[0] == 1


def test_forty_streams_cut_at_once_leave_nothing(stack: Stack):
    user = stack.user()
    with contextlib.ExitStack() as streams:
        for _ in range(40):
            answer = streams.enter_context(stack.stream(user, max_tokens=1000))
            assert 200 == answer.status_code
        until(lambda: stack.in_flight() == 40)
        assert 40 == stack.figure("forebay_reservations_open")

    until(lambda: idle_engines(stack))
    stack.settled()
    assert 40 == stack.usage(user)[0]
