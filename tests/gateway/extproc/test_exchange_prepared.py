"""Replies that are prepared while the verdict on a request is awaited."""

import orjson
import pytest

from gateway.envoy.names import DESTINATION, LB_NAMESPACE, RESPONSE_NAMESPACE
from gateway.extproc.commands import ImmediateReply
from gateway.extproc.events import BodyMode, Refused, RequestBody, RequestHeaders, Routed
from gateway.extproc.exchange import Exchange, State
from gateway.extproc.wire import encode
from gateway.openai.errors import LimitExceededError
from proto import ext_proc_pb2 as pb
from ratelimit.limits import RPM

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
BODY = orjson.dumps(CHAT)
STREAM = orjson.dumps({**CHAT, "stream": True})
POST = {":method": "POST", ":path": "/v1/chat/completions", "content-type": "application/json"}
POD = "10.0.0.1:8000"
LATE = Routed(
    {DESTINATION: POD},
    {"target-pod": "a"},
    {LB_NAMESPACE: {DESTINATION: POD}, RESPONSE_NAMESPACE: {"routing-strategy": "forebay"}},
)


def decided(mode: BodyMode, body: bytes = BODY) -> Exchange:
    machine = Exchange(10_000_000)
    machine.step(RequestHeaders(POST, False, mode))
    machine.step(RequestBody(body, True))
    return machine


def sent(replies: list[bytes]) -> list[pb.ProcessingResponse]:
    return [pb.ProcessingResponse.FromString(reply) for reply in replies]


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED])
@pytest.mark.parametrize("body", [BODY, STREAM])
def test_what_is_prepared_and_its_rest_are_the_messages_that_go_out_otherwise(mode: BodyMode, body: bytes):
    whole = [encode(command) for command in decided(mode, body).step(LATE)]
    machine = decided(mode, body)

    ready = [encode(command) for command in machine.prepare(LATE)]
    (rest,) = [encode(command) for command in machine.step(LATE)]

    assert sent(whole) == sent([ready[0] + rest, *ready[1:]])
    assert State.FORWARDED is machine.state


def test_what_was_prepared_may_still_be_refused():
    machine = decided(BodyMode.BUFFERED)
    machine.prepare(LATE)
    (reply,) = machine.step(Refused(LimitExceededError(RPM, "no"), {}))

    assert isinstance(reply, ImmediateReply)
    assert (429, State.ENDED) == (reply.status, machine.state)
