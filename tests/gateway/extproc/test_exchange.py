"""Playbooks: Envoy's messages and the replies to them, per body mode."""

import orjson
import pytest

from gateway.extproc.commands import (
    Abort,
    Answer,
    BodyReply,
    Finish,
    HeadersReply,
    ImmediateReply,
    Mutation,
    Refuse,
    Side,
    StreamedBodyReply,
    TrailersReply,
    WithCost,
)
from gateway.extproc.events import (
    Answered,
    BodyMode,
    Closed,
    Identified,
    Refused,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
)
from gateway.extproc.exchange import PIECE_BYTES
from gateway.openai.errors import InvalidKeyError, LimitExceededError
from gateway.openai.operations import Operation
from gateway.openai.usage import TokenUsage
from ratelimit.accounts.sender import Sender
from ratelimit.kinds import RPM
from tests.support.exchanges import (
    BODY,
    CHAT,
    NOBODY,
    POST,
    ROUTED,
    STREAM,
    TO_POD,
    admits,
    exchange,
    headers,
    identifies,
    is_immediate,
    refuses,
    routed,
)
from tests.support.playbook import Playbook


def test_a_buffered_body_is_answered_with_the_destination_and_left_untouched():
    assert (Playbook(exchange())
            >> headers() << identifies >> NOBODY << HeadersReply(Side.REQUEST)
            >> RequestBody(BODY, True) << admits
            >> ROUTED << BodyReply(Side.REQUEST, TO_POD))  # fmt: skip


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED])
def test_who_may_not_send_requests_is_told_so_before_the_body(mode: BodyMode):
    assert (Playbook(exchange())
            >> headers(mode) << identifies
            >> Refused(InvalidKeyError("API key is not valid")) << is_immediate(401))  # fmt: skip


def test_the_user_is_identified_once():
    machine = exchange()
    for event in (headers(), Identified(Sender("lgy"))):
        machine.step(event)

    (command,) = machine.step(RequestBody(BODY, True))

    assert "lgy" == command.user


def test_envoys_own_answer_to_a_request_that_was_not_shown_passes_unchanged():
    assert (Playbook(exchange())
            >> ResponseHeaders({":status": "400"}) << HeadersReply(Side.RESPONSE, Mutation())
            >> ResponseBody(b"{}", True) << BodyReply(Side.RESPONSE) << Finish(400, complete=True))  # fmt: skip


def test_full_duplex_of_an_answer_to_a_request_that_was_not_shown_passes_in_pieces():
    head = ResponseHeaders({":status": "418"}, response_mode=BodyMode.FULL_DUPLEX_STREAMED)
    assert (Playbook(exchange())
            >> head << HeadersReply(Side.RESPONSE, Mutation())
            >> ResponseBody(b"no") << StreamedBodyReply(Side.RESPONSE, b"no", False)
            >> ResponseBody(b"t", True) << StreamedBodyReply(Side.RESPONSE, b"t", True)
            << Finish(418, complete=True))  # fmt: skip


def test_what_is_on_its_way_when_the_proxy_answers_itself_is_ignored():
    assert (Playbook(exchange())
            >> headers(BodyMode.FULL_DUPLEX_STREAMED) << identifies >> NOBODY >> RequestBody(BODY[:5])
            >> ResponseHeaders({":status": "418"}) << HeadersReply(Side.RESPONSE, Mutation())
            >> RequestBody(BODY[5:], True)
            >> ResponseBody(b"no", True) << BodyReply(Side.RESPONSE) << Finish(418, complete=True))  # fmt: skip


def test_a_buffered_body_with_trailers_is_complete_without_end_of_stream():
    assert (Playbook(exchange())
            >> headers() << identifies >> NOBODY << HeadersReply(Side.REQUEST)
            >> RequestBody(BODY, False) << admits
            >> ROUTED << BodyReply(Side.REQUEST, TO_POD)
            >> RequestTrailers() << TrailersReply(Side.REQUEST))  # fmt: skip


def test_without_protocol_configuration_the_body_ends_where_it_says():
    assert (Playbook(exchange())
            >> headers(None) << identifies >> NOBODY << HeadersReply(Side.REQUEST)
            >> RequestBody(BODY[:9]) >> RequestBody(BODY[9:], True) << admits)  # fmt: skip


def test_full_duplex_withholds_the_headers_until_the_body_ends():
    assert (Playbook(exchange())
            >> headers(BodyMode.FULL_DUPLEX_STREAMED) << identifies >> NOBODY
            >> RequestBody(BODY[:5]) >> RequestBody(BODY[5:], True) << admits
            >> ROUTED << HeadersReply(Side.REQUEST, TO_POD) << StreamedBodyReply(Side.REQUEST, BODY, True))  # fmt: skip


def test_full_duplex_ends_the_stream_exactly_once_in_pieces_of_bounded_size():
    body = orjson.dumps({**CHAT, "messages": [{"role": "user", "content": "x" * 200_000}]})
    machine = exchange()
    machine.step(headers(BodyMode.FULL_DUPLEX_STREAMED))
    machine.step(NOBODY)
    machine.step(RequestBody(body, True))

    _, *pieces = machine.step(ROUTED)

    assert body == b"".join(piece.body for piece in pieces)
    assert [False] * (len(pieces) - 1) + [True] == [piece.end_of_stream for piece in pieces]
    assert PIECE_BYTES >= max(len(piece.body) for piece in pieces)


def test_full_duplex_with_trailers_sends_the_body_with_the_headers_and_nothing_after_them():
    assert (Playbook(exchange())
            >> headers(BodyMode.FULL_DUPLEX_STREAMED) << identifies >> NOBODY >> RequestBody(BODY)
            >> RequestTrailers() << admits
            >> ROUTED << HeadersReply(Side.REQUEST, TO_POD, BODY))  # fmt: skip


def test_a_stream_is_made_to_report_usage_and_its_length_follows():
    machine = exchange()
    machine.step(headers(content_length=str(len(STREAM))))
    machine.step(NOBODY)
    machine.step(RequestBody(STREAM, True))

    (reply,) = machine.step(ROUTED)

    assert {"include_usage": True} == orjson.loads(reply.body)["stream_options"]
    assert str(len(reply.body)) == reply.mutation.set_headers["content-length"]


def test_names_that_only_the_gateway_may_set_are_removed_from_the_request():
    machine = exchange()
    machine.step(
        headers(target_pod="1.2.3.4:80", x_forebay_decision="mine", x_gateway_destination_endpoint="1.2.3.4:80")
    )
    machine.step(NOBODY)
    machine.step(RequestBody(BODY, True))

    (reply,) = machine.step(ROUTED)

    assert {"target-pod", "x-forebay-decision"} == set(reply.mutation.remove_headers)
    assert "10.0.0.1:8000,10.0.0.2:8000" == reply.mutation.set_headers["x-gateway-destination-endpoint"]


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED])
def test_what_pods_may_not_see_is_removed_in_every_body_mode(mode: BodyMode):
    machine = exchange()
    for event in (headers(mode, authorization="Bearer k"), NOBODY, RequestBody(BODY, True)):
        machine.step(event)

    reply, *_ = machine.step(ROUTED._replace(remove_request_headers=("authorization",)))

    assert ("authorization",) == reply.mutation.remove_headers


@pytest.mark.parametrize("mode", [BodyMode.NONE, BodyMode.STREAMED])
def test_a_mode_in_which_headers_leave_before_the_body_is_known_is_refused(mode: BodyMode):
    assert Playbook(exchange()) >> headers(mode) << refuses(500)


def test_an_unknown_path_is_refused_before_the_body():
    event = RequestHeaders({**POST, ":path": "/v2/chat"}, False, BodyMode.BUFFERED)
    assert Playbook(exchange()) >> event << refuses(404)


def test_another_method_is_refused():
    assert Playbook(exchange()) >> RequestHeaders({**POST, ":method": "GET"}, True) << refuses(405)


def test_a_post_without_body_is_refused():
    assert Playbook(exchange()) >> RequestHeaders(POST, True) << refuses(400)


def test_a_content_length_over_the_limit_is_refused_before_the_body():
    assert Playbook(exchange(2048)) >> headers(content_length="2049") << refuses(413)


def test_a_body_over_the_limit_is_refused_where_it_passes_it():
    assert (Playbook(exchange(2048))
            >> headers(BodyMode.FULL_DUPLEX_STREAMED) << identifies >> NOBODY >> RequestBody(b"x" * 2048)
            >> RequestBody(b"x") << refuses(413))  # fmt: skip


def test_a_truncated_body_is_refused():
    assert (Playbook(exchange())
            >> headers(BodyMode.BUFFERED_PARTIAL) << identifies >> NOBODY << HeadersReply(Side.REQUEST)
            >> RequestBody(BODY, False) << refuses(413))  # fmt: skip


def test_a_malformed_body_is_refused_naming_the_field():
    assert (Playbook(exchange())
            >> headers() << identifies >> NOBODY << HeadersReply(Side.REQUEST)
            >> RequestBody(b'{"model":"m"}', True) << refuses(400, "messages"))  # fmt: skip


def test_a_refusal_ends_the_exchange_with_json_and_whatever_comes_later_is_ignored():
    machine = exchange()
    machine.step(headers())
    machine.step(NOBODY)
    machine.step(RequestBody(BODY, True))
    error = LimitExceededError(RPM, "user: lgy has exceeded RPM: 3", retry_after_s=6.2)

    (reply,) = machine.step(Refused(error, {"x-ratelimit-limit-requests": "3"}))

    assert isinstance(reply, ImmediateReply)
    assert 429 == reply.status
    assert {
        "retry-after": "7",
        "x-error-rpm-exceeded": "true",
        "x-ratelimit-limit-requests": "3",
        "x-request-id": "r1",
    }.items() <= reply.headers.items()
    assert "rate_limit_exceeded" == orjson.loads(reply.body)["error"]["code"]
    assert [] == machine.step(RequestBody(b"late", True))
    assert [] == machine.step(Closed())


def test_the_models_list_is_answered_from_the_headers_alone():
    event = RequestHeaders({":method": "GET", ":path": "/v1/models?x=1"}, True)
    assert (Playbook(exchange())
            >> event << Answer(Operation.MODELS, event.headers)
            >> Answered(b"{}") << ImmediateReply(200, {"content-type": "application/json"}, b"{}"))  # fmt: skip


def test_in_metadata_mode_the_end_is_unknown():
    assert Playbook(routed()) >> Closed() << Finish()


def test_a_request_that_was_never_routed_has_no_end_to_report():
    machine = exchange()
    machine.step(headers())
    machine.step(NOBODY)
    assert Playbook(machine) >> Closed()


def test_an_answer_passes_with_added_headers_and_its_usage_is_read():
    answer = b'{"usage":{"prompt_tokens":7,"completion_tokens":9,"total_tokens":16}}'
    theirs = {"content-type": "application/json", "x-forebay-decision": "theirs", "x-forebay-spoof": "1"}
    usage = TokenUsage(7, 9, reported_total=16)
    assert (Playbook(routed())
            >> ResponseHeaders({":status": "200", **theirs})
            << HeadersReply(Side.RESPONSE, Mutation(ROUTED.response_headers, ("x-forebay-spoof",)))
            >> ResponseBody(answer[:20]) << BodyReply(Side.RESPONSE)
            >> ResponseBody(answer[20:], True) << WithCost(BodyReply(Side.RESPONSE), 16)
            << Finish(200, usage, complete=True))  # fmt: skip


def test_the_pod_that_served_is_named_after_a_retry():
    machine = routed()
    (reply,) = machine.step(ResponseHeaders({":status": "200"}, upstream="10.0.0.2:8000"))
    assert "b" == reply.mutation.set_headers["target-pod"]


def test_the_usage_chunk_that_we_asked_for_is_hidden_from_the_client():
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":1}}\n\n'
    content = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
    machine = routed(body=STREAM)
    machine.step(ResponseHeaders({":status": "200", "content-type": "text/event-stream; charset=utf-8"}))

    replies = [machine.step(ResponseBody(data))[0] for data in (content, usage)]
    last, finish = machine.step(ResponseBody(b"data: [DONE]\n\n", True))

    shown = b"".join(
        data if reply.body is None else reply.body
        for reply, data in zip([*replies, last.reply], (content, usage, b"data: [DONE]\n\n"), strict=True)
    )
    assert content + b"data: [DONE]\n\n" == shown
    assert TokenUsage(7, 1) == finish.usage


def test_full_duplex_answers_are_echoed_piece_by_piece():
    machine = routed(BodyMode.FULL_DUPLEX_STREAMED, BodyMode.FULL_DUPLEX_STREAMED)
    machine.step(ResponseHeaders({":status": "200", "content-type": "application/json"}))
    assert [StreamedBodyReply(Side.RESPONSE, b"{}", False)] == machine.step(ResponseBody(b"{}"))
    assert Playbook(machine) >> ResponseTrailers() << TrailersReply(Side.RESPONSE) << Finish(200, complete=True)


def test_a_stream_that_the_client_leaves_is_not_complete():
    machine = routed(body=STREAM)
    machine.step(ResponseHeaders({":status": "200", "content-type": "text/event-stream"}))
    machine.step(ResponseBody(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'))
    (finish,) = machine.step(Closed())
    assert (False, 1) == (finish.complete, finish.output_chunks)


def test_an_answer_of_the_proxy_itself_passes_without_our_headers():
    machine = exchange()
    machine.step(headers())
    machine.step(NOBODY)
    assert (
        Playbook(machine)
        >> ResponseHeaders({":status": "413"}, True)
        << HeadersReply(Side.RESPONSE)
        << Finish(413, complete=True)
    )


def test_an_answer_to_a_request_that_another_filter_handled_passes():
    assert (Playbook(exchange())
            >> ResponseHeaders({":status": "401"}) << HeadersReply(Side.RESPONSE)
            >> ResponseBody(b"no", True) << BodyReply(Side.RESPONSE)
            << Finish(401, complete=True))  # fmt: skip


def test_a_response_body_passes_without_its_headers():
    usage = TokenUsage(7, 9, reported_total=16)
    answer = b'{"usage":{"prompt_tokens":7,"completion_tokens":9,"total_tokens":16}}'
    assert (Playbook(routed())
            >> ResponseBody(answer, True) << WithCost(BodyReply(Side.RESPONSE), 16)
            << Finish(None, usage, complete=True))  # fmt: skip


def test_trailers_of_the_request_may_come_after_the_answer_began():
    machine = routed()
    machine.step(ResponseHeaders({":status": "200"}))
    assert Playbook(machine) >> RequestTrailers() << TrailersReply(Side.REQUEST)


def test_a_message_out_of_turn_finishes_what_was_routed_before_it_aborts():
    finish, abort = routed().step(RequestBody(BODY, True))
    assert (Finish(), Abort) == (finish, type(abort))


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "\u00b2", "many", ""])
def test_a_malformed_content_length_is_ignored(length: str):
    assert Playbook(exchange()) >> headers(content_length=length) << identifies >> NOBODY << HeadersReply(Side.REQUEST)


@pytest.mark.parametrize(
    "nominated", ["user", "Authorization", "keep-alive, x-api-key ", "close,routing-strategy", "content-type"]
)
def test_a_request_that_says_that_its_controls_are_not_for_us_is_refused(nominated: str):
    [refusal] = exchange().step(RequestHeaders({**POST, "connection": nominated}, end_of_stream=False))

    assert isinstance(refusal, Refuse)
    assert 400 == refusal.error.status
    assert "must not name a header" in refusal.error.message


@pytest.mark.parametrize("connection", ["keep-alive", "close", "Upgrade, HTTP2-Settings", "te", ""])
def test_a_connection_of_the_usual_kinds_is_nobodys_business(connection: str):
    commands = exchange().step(RequestHeaders({**POST, "connection": connection}, end_of_stream=False))

    assert not any(isinstance(command, Refuse) for command in commands)
