"""Playbooks of an endpoint picker: models that are rewritten, control headers that end here, the cost of a request."""

import orjson
import pytest

from gateway.extproc.commands import Admit, BodyReply, HeadersReply, Refuse, StreamedBodyReply, WithCost
from gateway.extproc.events import BodyMode, Identified, RequestBody, ResponseBody, ResponseHeaders, ResponseTrailers
from gateway.extproc.exchange import Exchange
from gateway.openai.members import MAX_MENTIONS
from gateway.openai.rewrites import Rewrite, Target
from tests.support.exchanges import BODY, CHAT, NOBODY, ROUTED, STREAM, exchange, headers

DUPLEX = BodyMode.FULL_DUPLEX_STREAMED
TO_V2 = Rewrite(("m",), (Target("v2"),))
NAMED = {"x-gateway-model-name-rewrite": "v2"}
JSON = ResponseHeaders({":status": "200", "content-type": "application/json", "content-length": "99"})
SSE = ResponseHeaders({":status": "200", "content-type": "text/event-stream"})
ANSWER = b'{"model":"v2","usage":{"prompt_tokens":7,"completion_tokens":9,"total_tokens":16}}'


def asked(machine: Exchange, body: bytes = BODY, mode: BodyMode = BodyMode.BUFFERED, **options):
    """The question for admission, after the body."""
    for event in (headers(mode, **options), NOBODY):
        machine.step(event)
    (command,) = machine.step(RequestBody(body, True))
    return command


def rewritten(response: BodyMode | None, body: bytes = BODY, mode: BodyMode = BodyMode.BUFFERED) -> Exchange:
    """A routed request for "m" that is answered by "v2"."""
    machine = exchange(10_000, TO_V2)
    asked(machine, body, mode, response=response)
    machine.step(ROUTED)
    return machine


@pytest.mark.parametrize(("rules", "more"), [((TO_V2,), {}), ((), NAMED)])
def test_another_model_is_planned_and_asked_for_with_nothing_else_changed(rules, more):
    machine = exchange(10_000, *rules)

    command = asked(machine, **more)
    (reply,) = machine.step(ROUTED)

    assert isinstance(command, Admit)
    assert "v2" == command.request.model
    assert BODY.replace(b'"model":"m"', b'"model":"v2"') == reply.body
    assert str(len(reply.body)) == reply.mutation.set_headers["content-length"]


def test_in_full_duplex_the_new_body_follows_the_headers():
    machine = exchange(10_000, TO_V2)
    asked(machine, mode=DUPLEX)

    head, body = machine.step(ROUTED)

    assert isinstance(head, HeadersReply)
    assert StreamedBodyReply(head.side, orjson.dumps({**CHAT, "model": "v2"}), True) == body


def test_a_stream_is_asked_for_its_usage_too():
    machine = rewritten(BodyMode.STREAMED, STREAM)
    machine.step(SSE)
    usage = b'data: {"model":"v2","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'

    shown = [machine.step(ResponseBody(piece))[0].body for piece in (b'data: {"model":"v2"}\n', b"\n", usage)]

    assert [b"", b'data: {"model":"m"}\n\n', b""] == shown


def test_a_body_without_a_model_is_left_alone():
    machine = exchange(10_000, Rewrite((), (Target("v2"),)))
    for event in (headers(**{":path": "/generate"}), NOBODY):
        machine.step(event)

    (command,) = machine.step(RequestBody(b'{"text":"hi"}', True))
    (reply,) = machine.step(ROUTED)

    assert ("", None) == (command.request.model, reply.body)


def test_a_model_that_cannot_be_replaced_is_refused_before_anything_is_charged():
    body = orjson.dumps({**CHAT, "stop": ["model"] * (MAX_MENTIONS + 1)})
    command = asked(exchange(10**6, TO_V2), body)
    assert isinstance(command, Refuse)
    assert (400, "model") == (command.error.status, command.error.param)


@pytest.mark.parametrize("response", [BodyMode.STREAMED, DUPLEX, None])
def test_the_answer_names_the_model_that_the_client_asked_for(response):
    machine = rewritten(response)

    (head,) = machine.step(JSON)
    first, *_ = machine.step(ResponseBody(ANSWER[:10]))
    last, *_ = machine.step(ResponseBody(ANSWER[10:], True))

    assert "content-length" in head.mutation.remove_headers
    assert isinstance(last, WithCost)
    assert (b"", ANSWER.replace(b"v2", b"m")) == (first.body, last.reply.body)


@pytest.mark.parametrize("answer", [ANSWER, b'{"error":{"message":"no"}}'])
@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, DUPLEX])
def test_nothing_of_an_answer_is_lost_that_trailers_end(mode, answer):
    machine = rewritten(mode)
    machine.step(JSON)

    replies = machine.step(ResponseBody(answer)) + machine.step(ResponseTrailers())

    bodies = [reply.body for reply in replies if isinstance(reply, BodyReply | StreamedBodyReply)]
    assert answer.replace(b"v2", b"m") == b"".join(answer if body is None else body for body in bodies)


def test_an_answer_of_which_only_the_headers_are_shown_keeps_its_length():
    (head,) = rewritten(BodyMode.NONE).step(JSON)
    assert "content-length" not in head.mutation.remove_headers


def test_the_cost_goes_with_the_last_reply():
    machine = rewritten(DUPLEX, mode=DUPLEX)
    machine.step(JSON)
    last = machine.step(ResponseBody(ANSWER, True))[-2]
    assert (16, True) == (last.tokens, last.reply.end_of_stream)

    machine = rewritten(DUPLEX, mode=DUPLEX)
    machine.step(JSON)
    (body,) = machine.step(ResponseBody(ANSWER))
    trailers, finish = machine.step(ResponseTrailers())
    assert not isinstance(body, WithCost)
    assert (16, 16) == (trailers.tokens, finish.usage.total_tokens)


def test_what_is_not_known_costs_nothing_that_could_be_told():
    machine = rewritten(BodyMode.STREAMED)
    machine.step(JSON)
    reply, _ = machine.step(ResponseBody(b'{"usage":{"prompt_tokens":7}}', True))
    assert isinstance(reply, BodyReply)


def test_control_headers_reach_neither_an_engine_nor_a_client():
    control = {
        "x-gateway-inference-objective": "o",
        "x-gateway-inference-fairness-id": "f",
        "x-gateway-model-name-rewrite": "v2",
        "x-gateway-inference_objective": "twin",
        "x-gateway-destination-endpoint-subset": "10.0.0.9:1",
        "x-gateway-destination-endpoint-served": "10.0.0.9:1",
    }
    machine = exchange()
    for event in (headers()._replace(headers={**headers().headers, **control}), Identified(None)):
        machine.step(event)
    machine.step(RequestBody(BODY, True))

    (request,) = machine.step(ROUTED)
    (response,) = machine.step(ResponseHeaders({":status": "200", **control, "x-gateway-model-name": "theirs"}))

    assert control.keys() <= {*request.mutation.remove_headers}
    assert control.keys() == {*response.mutation.remove_headers}


@pytest.mark.parametrize("name", ["x-gateway-inference-objective", "x-gateway-model-name-rewrite"])
def test_a_client_cannot_have_a_proxy_take_control_headers_off(name):
    (command,) = exchange().step(headers(connection=f"close, {name}"))
    assert isinstance(command, Refuse)
