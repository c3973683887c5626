"""Events in any order: every state takes every event, and what breaks the protocol ends in Abort."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.extproc.commands import Abort, Finish
from gateway.extproc.events import (
    Answered,
    BodyMode,
    Closed,
    Decoded,
    Refused,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
)
from gateway.extproc.exchange import TRANSITIONS, State
from gateway.openai.errors import BadRequestError, LimitExceededError
from ratelimit.kinds import RPM
from tests.support.exchanges import BODY, NOBODY, POST, ROUTED, exchange, headers

EVENTS = [
    headers(), NOBODY, headers(BodyMode.FULL_DUPLEX_STREAMED), headers(content_encoding="gzip"),
    RequestHeaders({}), RequestHeaders(POST, True),
    RequestBody(BODY, True), RequestBody(b"\xff"), RequestTrailers(),
    Decoded(BODY), Decoded(BadRequestError("x")),
    ResponseHeaders({":status": "x"}), ResponseHeaders({":status": "200"}, True),
    ResponseHeaders({":status": "200", "content-type": "text/event-stream"}),
    ResponseBody(b"data: {"), ResponseBody(b"", True), ResponseTrailers(),
    ROUTED, Refused(LimitExceededError(RPM, "x")), Answered(b""), Closed(),
]  # fmt: skip


@given(st.lists(st.sampled_from(EVENTS), max_size=12))
def test_any_sequence_of_events_ends_in_commands_and_never_in_an_exception(events: list[Any]):
    machine = exchange()
    finishes = 0
    for event in events:
        legal = machine.state is State.ENDED or (machine.state, type(event)) in TRANSITIONS
        commands = machine.step(event)
        finishes += sum(isinstance(command, Finish) for command in commands)
        assert legal != any(isinstance(command, Abort) for command in commands)
    assert 1 >= finishes


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("state", list(State))
def test_every_state_takes_every_event(state: State, event: Any):
    machine = exchange()
    paths: dict[State, list[Any]] = {
        State.START: [], State.IDENTIFYING: [headers()], State.COLLECTING: [headers(), NOBODY],
        State.DECODING: [headers(content_encoding="gzip"), NOBODY, RequestBody(BODY, True)],
        State.ADMITTING: [headers(), NOBODY, RequestBody(BODY, True)],
        State.FORWARDED: [headers(), NOBODY, RequestBody(BODY, True), ROUTED],
        State.RESPONDING: [headers(), NOBODY, RequestBody(BODY, True), ROUTED, ResponseHeaders({":status": "200"})],
        State.ENDED: [headers(), NOBODY, RequestBody(BODY, True), ROUTED, Closed()],
    }  # fmt: skip
    for earlier in paths[state]:
        machine.step(earlier)
    assert state is machine.state

    commands = machine.step(event)

    legal = state is State.ENDED or (state, type(event)) in TRANSITIONS
    assert legal != any(isinstance(command, Abort) for command in commands)
