"""The relay of requests to an API: the name of the model changes on the way there and back."""

import orjson
import pytest

from gateway.envoy.names import UNREACHED
from gateway.extproc.commands import BodyReply, Command, HeadersReply, ImmediateReply
from gateway.extproc.events import (
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
)
from gateway.extproc.relay import Relay

CHAT = {":method": "POST", ":path": "/v1/chat/completions", "content-type": "application/json"}
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nbig\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nWAV\r\n--x--\r\n'
)


def sent(relay: Relay, body: bytes, headers: dict[str, str] = CHAT) -> bytes:
    """The body that the API gets."""
    relay.step(RequestHeaders(headers))
    [reply] = relay.step(RequestBody(body, end_of_stream=True))
    assert isinstance(reply, BodyReply)
    if reply.body is None:
        return body
    assert {"content-length": str(len(reply.body))} == dict(reply.mutation.set_headers)
    return reply.body


def answered(relay: Relay, content_type: str, pieces: list[bytes]) -> bytes:
    """The answer that the client gets."""
    relay.step(ResponseHeaders({":status": "200", "content-type": content_type, "content-length": "9"}))
    replies = [
        relay.step(ResponseBody(piece, end_of_stream=at == len(pieces))) for at, piece in enumerate(pieces, start=1)
    ]
    return b"".join(
        piece if reply.body is None else reply.body
        for piece, [reply] in zip(pieces, replies, strict=True)
        if isinstance(reply, BodyReply)
    )


def a_chat(model: str) -> bytes:
    return orjson.dumps({"model": model, "messages": [{"role": "user", "content": "Hi"}]})


def test_the_api_is_asked_for_its_own_name_and_the_client_reads_the_one_it_sent():
    relay = Relay({"big": "gpt-provider"})

    asked = sent(relay, a_chat("big"))
    answer = answered(relay, "application/json; charset=utf-8", [b'{"id":"1","mod', b'el":"gpt-provider-0613","n":1}'])

    assert a_chat("gpt-provider") == asked
    assert {"id": "1", "model": "big", "n": 1} == orjson.loads(answer)


def test_each_event_of_a_stream_is_renamed_wherever_it_is_split():
    events = b'data: {"model":"gpt","choices":[]}\n\n' * 3 + b"data: [DONE]\n\n"
    for size in (1, 7, 50, len(events)):
        relay = Relay({"big": "gpt"})
        sent(relay, a_chat("big"))

        answer = answered(relay, "text/event-stream", [events[at : at + size] for at in range(0, len(events), size)])

        assert events.replace(b"gpt", b"big") == answer, size


def test_a_form_is_renamed_too():
    headers = {
        ":method": "POST",
        ":path": "/v1/audio/transcriptions",
        "content-type": "multipart/form-data; boundary=x",
    }

    assert FORM.replace(b"big", b"whisper-1") == sent(Relay({"big": "whisper-1"}), FORM, headers)


@pytest.mark.parametrize("model", ["same", "another"])
def test_a_model_of_the_same_name_passes_untouched_in_both_directions(model: str):
    relay = Relay({"same": "same"})

    assert a_chat(model) == sent(relay, a_chat(model))
    assert b'{"model":"gpt"}' == answered(relay, "application/json", [b'{"model":"gpt"}'])


@pytest.mark.parametrize("body", [b"", b"{", b'{"model":1}'])
def test_what_cannot_be_read_is_left_to_the_api(body: bytes):
    assert body == sent(Relay({"big": "gpt"}), body)


@pytest.mark.parametrize("status", ["200", "403", "502"])
def test_a_web_page_is_no_answer_and_the_next_endpoint_is_asked(status: str):
    relay = Relay({"big": "gpt"})
    sent(relay, a_chat("big"))

    [reply] = relay.step(ResponseHeaders({":status": status, "content-type": "Text/HTML; charset=utf-8"}))

    assert isinstance(reply, ImmediateReply)
    assert (502, "true", "bad_gateway") == (
        reply.status, reply.headers[UNREACHED], orjson.loads(reply.body)["error"]["code"]
    )  # fmt: skip


def test_the_length_of_an_answer_that_changes_is_not_told():
    renamed, untouched = Relay({"big": "gpt"}), Relay({"big": "big"})
    replies: list[Command] = []
    for relay in (renamed, untouched):
        sent(relay, a_chat("big"))
        replies += relay.step(ResponseHeaders({":status": "200", "content-type": "application/json"}))

    removed = [reply.mutation.remove_headers for reply in replies if isinstance(reply, HeadersReply)]

    assert [("content-length",), ()] == removed


def test_trailers_are_nothing_to_answer():
    assert [] == Relay({}).step(RequestTrailers()) == Relay({}).step(ResponseTrailers())
