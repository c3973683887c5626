"""Requests beside the common ones: without a body, compressed, with another spelling of the path; and whose errors."""

import gzip
from typing import Any

import orjson
import pytest

from gateway.extproc.commands import (
    Admit,
    BodyReply,
    Decode,
    HeadersReply,
    Identify,
    ImmediateReply,
    Refuse,
    StreamedBodyReply,
)
from gateway.extproc.events import BodyMode, Decoded, Refused, RequestBody, RequestHeaders
from gateway.openai.errors import BadRequestError, InvalidKeyError, LimiterAwayError, RefusalError
from tests.support.exchanges import BODY, NOBODY, POST, ROUTED, STREAM, exchange, headers, refuses

MODES = [BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED, BodyMode.BUFFERED_PARTIAL, None]


def begin(method: str, path: str, *, end: bool, mode: BodyMode | None = None) -> RequestHeaders:
    return RequestHeaders({":method": method, ":path": path, "x-request-id": "r1"}, end, mode)


@pytest.mark.parametrize("mode", [*MODES, BodyMode.NONE, BodyMode.STREAMED])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/responses/resp_1?stream=true"), ("DELETE", "/v1/responses/resp_1"),
     ("POST", "/v1/responses/resp_1/cancel"), ("GET", "/v1/responses/resp_1/input_items")],
)  # fmt: skip
def test_a_request_without_a_body_is_decided_by_its_headers(method: str, path: str, mode: BodyMode | None):
    machine = exchange()
    [identify] = machine.step(begin(method, path, end=True, mode=mode))
    [admit] = machine.step(NOBODY)
    [reply] = machine.step(ROUTED)

    assert isinstance(identify, Identify)
    assert isinstance(admit, Admit)
    assert admit.request.needs_earlier
    assert isinstance(reply, HeadersReply)
    assert reply.mutation.metadata == ROUTED.metadata
    assert "content-length" not in reply.mutation.set_headers


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED])
def test_a_body_that_nobody_reads_passes_untouched(mode: BodyMode):
    machine = exchange()
    machine.step(begin("POST", "/v1/responses/resp_1/cancel", end=False, mode=mode))
    machine.step(NOBODY)
    [admit] = machine.step(RequestBody(b"\xff", True))
    replies = machine.step(ROUTED)

    assert isinstance(admit, Admit)
    assert [b"\xff"] == [r.body for r in replies if isinstance(r, StreamedBodyReply)] or replies[0].body is None


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_elsewhere_a_body_is_needed(method: str):
    [refuse] = exchange().step(begin("POST", "/v1/chat/completions", end=True))
    assert refuses(400)(refuse)


def forwarded(*events: Any, sent: RequestHeaders) -> tuple[Any, bytes | None]:
    """The mutation and the body that the engine gets."""
    machine = exchange()
    for event in (sent, NOBODY, *events):
        machine.step(event)
    replies = machine.step(ROUTED)
    if isinstance(replies[0], BodyReply):
        return replies[0].mutation, replies[0].body
    assert isinstance(replies[0], HeadersReply)
    return replies[0].mutation, b"".join(reply.body for reply in replies if isinstance(reply, StreamedBodyReply))


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED])
def test_an_engine_gets_a_compressed_body_decoded(mode: BodyMode):
    packed = RequestBody(gzip.compress(BODY), True)

    mutation, body = forwarded(packed, Decoded(BODY), sent=headers(mode, content_encoding="gzip"))

    assert BODY == body
    assert str(len(BODY)) == mutation.set_headers["content-length"]
    assert "content-encoding" in mutation.remove_headers


def test_a_compressed_stream_is_asked_for_its_usage_too():
    mutation, body = forwarded(
        RequestBody(b"packed", True), Decoded(STREAM), sent=headers(BodyMode.BUFFERED, content_encoding="zstd")
    )
    assert orjson.loads(body or b"")["stream_options"] == {"include_usage": True}
    assert str(len(body or b"")) == mutation.set_headers["content-length"]


def test_decoding_knows_its_limit_and_may_fail():
    machine = exchange(1000)
    for event in (headers(content_encoding="gzip, br"), NOBODY):
        machine.step(event)

    assert [Decode("gzip, br", b"packed", 1000)] == machine.step(RequestBody(b"packed", True))
    [refuse] = machine.step(Decoded(BadRequestError("body is not gzip")))
    assert refuses(400)(refuse)


def test_without_a_coding_nothing_is_decoded_and_nothing_changes():
    mutation, body = forwarded(RequestBody(BODY, True), sent=headers(content_encoding=""))
    assert body is None
    assert not mutation.remove_headers


def test_an_engine_gets_the_plain_path_of_a_target_with_a_trailing_slash():
    sent = RequestHeaders({**POST, ":path": "/v1/chat/completions/?a=b/"}, False, BodyMode.BUFFERED)
    mutation, _ = forwarded(RequestBody(BODY, True), sent=sent)
    assert "/v1/chat/completions?a=b/" == mutation.set_headers[":path"]
    plain, _ = forwarded(RequestBody(BODY, True), sent=headers())
    assert ":path" not in plain.set_headers


ERRORS = [
    (BadRequestError("wrong"), 400, "invalid_request_error"),
    (InvalidKeyError("wrong key"), 401, "authentication_error"),
    (LimiterAwayError("away"), 503, "api_error"),
]


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages?beta=true", "/v1/messages/count_tokens"])
@pytest.mark.parametrize(("error", "status", "kind"), ERRORS)
def test_on_anthropics_paths_errors_have_anthropics_shape(
    path: str, error: RefusalError, status: int, kind: str, compat: bool
):
    machine = exchange(1000, compat=compat)
    machine.step(begin("POST", path, end=False, mode=BodyMode.BUFFERED))
    [reply] = machine.step(Refused(error))

    assert isinstance(reply, ImmediateReply)
    shown = {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": "r1"}
    assert shown == orjson.loads(reply.body)
    assert status == reply.status


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("POST", "/v1/messages/batches", 404, "not_found_error"),
        ("GET", "/v1/messages", 405, "invalid_request_error"),
    ],
)
def test_also_where_there_is_no_such_operation(method: str, path: str, status: int, kind: str):
    machine = exchange()
    [refuse] = machine.step(begin(method, path, end=True))
    assert isinstance(refuse, Refuse)
    [reply] = machine.step(Refused(refuse.error))
    assert isinstance(reply, ImmediateReply)
    assert (status, kind) == (reply.status, orjson.loads(reply.body)["error"]["type"])


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messagesx", "/v1/message", "/v1//messages"])
def test_elsewhere_they_keep_openais(path: str):
    machine = exchange()
    commands = machine.step(begin("POST", path, end=False, mode=BodyMode.BUFFERED))
    error = commands[0].error if isinstance(commands[0], Refuse) else BadRequestError("wrong")
    [reply] = machine.step(Refused(error))
    assert isinstance(reply, ImmediateReply)
    assert "code" in orjson.loads(reply.body)["error"]
