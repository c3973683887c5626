"""One HTTP request in Envoy's external processing: a state machine without I/O, clock or protobuf.

Lives here: which message may follow which, body modes, the reply in each phase.
Not here: admission and the choice of a pod (gateway.admission), the wire format (wire).
Body modes and their rules: Envoy's external_processor.proto and Gateway API Inference Extension, proposal 004.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

from gateway.envoy.names import MAX_HEADERS, MAX_HEADERS_BYTES, MAX_REQUEST_ID_CHARACTERS
from gateway.extproc.commands import (
    CONTINUE,
    Abort,
    Admit,
    Answer,
    BodyReply,
    Command,
    Decode,
    Finish,
    HeadersReply,
    Identify,
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
    Decoded,
    Event,
    Identified,
    Refused,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
    Routed,
)
from gateway.extproc.response import ResponseReader, headers_to_remove
from gateway.openai.control_headers import refuse_nominated
from gateway.openai.errors import (
    BadRequestError,
    BodyTooLargeError,
    HeadersTooLargeError,
    RefusalError,
    UnsupportedModeError,
    anthropic_error_body,
    error_body,
    error_headers,
    error_status,
    header_safe,
)
from gateway.openai.operations import Operation, find_operation, forwarded_target, has_anthropic_errors
from gateway.openai.request import parse_request
from gateway.openai.rewrites import Rewrites, with_model
from gateway.openai.stream_usage import with_stream_usage
from ratelimit.accounts.sender import Sender

NO_HEADERS_YET = RequestHeaders({})
UNKNOWN_END = Finish()
PIECE_BYTES = 62_000
"""The largest piece of a body in full-duplex mode (proposal 004: below 64 KiB with room for framing)."""

MAX_DIGITS: Final = 18
"""Digits of a content-length that are parsed: enough for 63 bits, and Python raises ValueError above 4,300."""


class State(StrEnum):
    """The state of an exchange.  A StrEnum, because a plain Enum hashes four times as slowly."""

    START = "start"
    IDENTIFYING = "identifying"  # has the headers, waits until it is known who sends them
    COLLECTING = "collecting"  # waits for the body
    DECODING = "decoding"  # waits until the body's content codings are undone
    ADMITTING = "admitting"  # waits for admission's decision
    FORWARDED = "forwarded"  # the request goes to a pod
    RESPONDING = "responding"  # has the response headers
    ENDED = "ended"  # ignores further messages


TRANSITIONS: Final[Mapping[tuple[State, type[Event]], str]] = {
    (State.START, RequestHeaders): "_open",
    (State.START, ResponseHeaders): "_respond",  # an earlier filter answered, so that we never got the request
    (State.IDENTIFYING, Identified): "_begin_collecting",
    (State.IDENTIFYING, Refused): "_refuse",
    (State.COLLECTING, RequestBody): "_collect",
    (State.COLLECTING, RequestTrailers): "_collect_trailers",
    (State.COLLECTING, ResponseHeaders): "_respond",  # Envoy answered itself
    (State.DECODING, Decoded): "_admit_decoded",
    (State.ADMITTING, Routed): "_forward",
    (State.ADMITTING, Refused): "_refuse",
    (State.ADMITTING, Answered): "_answer",
    (State.FORWARDED, RequestTrailers): "_pass_trailers",
    (State.FORWARDED, ResponseHeaders): "_respond",
    (State.FORWARDED, ResponseBody): "_relay",  # response_header_mode: SKIP
    (State.FORWARDED, ResponseTrailers): "_end_with_trailers",
    (State.RESPONDING, RequestBody): "_ignore",  # on its way when an answer of the proxy's ended the request
    (State.RESPONDING, RequestTrailers): "_pass_trailers",  # the pod answered before the request had ended
    (State.RESPONDING, ResponseBody): "_relay",
    (State.RESPONDING, ResponseTrailers): "_end_with_trailers",
    (State.START, Closed): "_close",
    (State.COLLECTING, Closed): "_close",
    (State.FORWARDED, Closed): "_close",
    (State.RESPONDING, Closed): "_close",
}
"""The method that handles an event in a state.  Other pairs break the protocol, but ENDED ignores all events."""

BUFFERED_MODES: Final = frozenset({BodyMode.BUFFERED, BodyMode.BUFFERED_PARTIAL})
"""Modes in which the body comes in one message."""
UNROUTABLE_MODES: Final = frozenset({BodyMode.NONE, BodyMode.STREAMED, BodyMode.GRPC})
"""Modes in which Envoy forwards the headers before the body, and so the model, is known."""


class Exchange:
    """Call `step` with events in order, and perform the commands that it returns in order.

    `step` raises nothing for input from outside: a refusal becomes Refuse, a broken protocol Abort.
    """

    def __init__(
        self, body_limit_bytes: int, rewrites: Rewrites, *, compat: bool = False, asks_usage: bool = True
    ) -> None:
        self.state = State.START
        self._rewrites = rewrites
        self._body_limit = body_limit_bytes
        self._compat = compat
        self._asks_usage = asks_usage  # of streams whose clients did not ask
        self._headers = NO_HEADERS_YET
        self._operation: Operation | None = None
        self._sender: Sender | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._trailers = False
        self._body = b""  # what will be forwarded
        self._changed = False  # it differs from what was sent
        self._usage_added = False  # the body was changed to ask for a stream's usage
        self._asked_model = ""  # by the client, where the body was changed to ask for another
        self._routed: Routed | None = None
        self._response: ResponseReader | None = None

    @property
    def gathered_bytes(self) -> int:
        """The bytes of a body of which the rest is awaited, or which is being decoded."""
        return self._size if self._pieces or self.state is State.DECODING else 0

    def step(self, event: Event) -> list[Command]:
        """Advance by one event."""
        if self.state is State.ENDED:
            return []
        name = TRANSITIONS.get((self.state, type(event)))
        if name is None:
            reason = f"{type(event).__name__} in state {self.state.value}"
            return [*self._close(Closed()), Abort(reason)]  # a routed request must still be finished
        handler: Callable[[Any], list[Command]] = getattr(self, name)
        try:
            return handler(event)
        except RefusalError as error:
            self.state = State.ADMITTING
            return [Refuse(error, self._headers.headers)]

    def _open(self, event: RequestHeaders) -> list[Command]:
        self._headers = event
        headers = event.headers
        if event.header_count > MAX_HEADERS or event.size_bytes > MAX_HEADERS_BYTES:
            raise HeadersTooLargeError(
                f"request headers = {event.header_count}, {event.size_bytes} bytes, "
                f"must be at most {MAX_HEADERS} and {MAX_HEADERS_BYTES} bytes"
            )
        if "connection" in headers:  # Envoy's own HTTP/1 removes it, with what it names, before we see it
            refuse_nominated(headers["connection"])
        self._operation = operation = find_operation(headers.get(":method", ""), headers.get(":path", ""))
        body_format = operation.body
        if body_format is None:
            self.state = State.ADMITTING
            return [Answer(operation, headers)]
        if event.end_of_stream and not body_format.is_stored:
            raise BadRequestError("body is empty")
        if event.request_mode in UNROUTABLE_MODES and not event.end_of_stream:
            mode = BodyMode(event.request_mode).name
            raise UnsupportedModeError(f"request_body_mode = {mode}, must be BUFFERED or FULL_DUPLEX_STREAMED")
        self._check_size(_content_length(headers))
        self.state = State.IDENTIFYING
        return [Identify(headers)]

    def _begin_collecting(self, event: Identified) -> list[Command]:
        self._sender = event.sender
        if self._headers.end_of_stream:
            return self._admit(b"")
        self.state = State.COLLECTING
        return [] if self._headers.request_mode is BodyMode.FULL_DUPLEX_STREAMED else [CONTINUE]

    def _check_size(self, size: int) -> None:
        if size > self._body_limit:
            raise BodyTooLargeError(f"body = {size} bytes, must be at most {self._body_limit}")

    def _collect(self, event: RequestBody) -> list[Command]:
        self._size += len(event.data)
        self._check_size(self._size)
        self._pieces.append(event.data)
        mode = self._headers.request_mode
        if mode is BodyMode.BUFFERED_PARTIAL and not event.end_of_stream:
            raise BodyTooLargeError(f"body exceeds the proxy's buffer limit, {self._size} bytes were received")
        if event.end_of_stream or mode in BUFFERED_MODES:
            return self._complete()
        return []

    def _collect_trailers(self, _event: RequestTrailers) -> list[Command]:
        self._trailers = True
        return self._complete()

    def _complete(self) -> list[Command]:
        body = b"".join(self._pieces)
        self._pieces.clear()
        content_encoding = self._headers.headers.get("content-encoding")
        if not content_encoding or not body:
            return self._admit(body)
        self.state = State.DECODING
        return [Decode(content_encoding, body, self._body_limit)]

    def _admit_decoded(self, event: Decoded) -> list[Command]:
        if isinstance(event.body, RefusalError):
            raise event.body
        self._changed = True
        return self._admit(event.body)

    def _admit(self, body: bytes) -> list[Command]:
        assert self._operation is not None  # noqa: S101 - _open, which always precedes, sets it
        headers = self._headers.headers
        content_type = headers.get("content-type", "")
        request = parse_request(self._operation, content_type, body)
        user = self._sender.user if self._sender is not None else ""
        if request.model and (target := self._rewrites.target(request.model, headers, user)):
            body = with_model(self._operation, content_type, body, target)
            self._asked_model, self._changed = request.model, True
            request = request._replace(model=target)
        changed = with_stream_usage(body, request) if self._asks_usage else None
        if changed is not None:
            self._usage_added = self._changed = True
            request, body = request._replace(wants_usage=True), changed
        self._body = body
        self.state = State.ADMITTING
        return [Admit(request, headers, self._headers.subset, self._sender, self._asked_model, body)]

    def _forward(self, event: Routed) -> list[Command]:
        self._routed = event
        self.state = State.FORWARDED
        body, self._body = self._body, b""
        if event.body is not None:
            body, self._changed = event.body, True
        sent = self._headers.headers
        request_headers = dict(event.request_headers)
        removed = list(event.remove_request_headers)
        if self._changed:
            request_headers["content-length"] = str(len(body))
            if "content-encoding" in sent:
                removed.append("content-encoding")
        target = sent.get(":path", "")
        if (forwarded := forwarded_target(target)) != target:
            request_headers[":path"] = forwarded
        untrusted = headers_to_remove(sent, request_headers)
        mutation = Mutation(request_headers, (*untrusted, *removed), event.metadata)
        if self._headers.end_of_stream:
            return [HeadersReply(Side.REQUEST, mutation)]
        if self._headers.request_mode is BodyMode.FULL_DUPLEX_STREAMED:
            if self._trailers:  # Envoy, which keeps pieces for retries, would send them again with the trailers
                return [HeadersReply(Side.REQUEST, mutation, body)]
            return [HeadersReply(Side.REQUEST, mutation), *_pieces(Side.REQUEST, body, end_of_stream=True)]
        reply = BodyReply(Side.REQUEST, mutation, body if self._changed else None)
        return [reply, TrailersReply(Side.REQUEST)] if self._trailers else [reply]

    def _refuse(self, event: Refused) -> list[Command]:
        headers = {**event.headers, **self._request_ids(), **dict(error_headers(event.error))}
        status = error_status(event.error, compat=self._compat)
        if has_anthropic_errors(self._headers.headers.get(":path", "")):
            body = anthropic_error_body(event.error, status, headers.get("x-request-id", ""))
        else:
            body = error_body(event.error, compat=self._compat)
        return self._end(ImmediateReply(status, headers, body))

    def _answer(self, event: Answered) -> list[Command]:
        headers = {"content-type": "application/json", **self._request_ids(), **event.headers}
        return self._end(ImmediateReply(event.status, headers, event.body))

    def _request_ids(self) -> dict[str, str]:
        request_id = header_safe(self._headers.headers.get("x-request-id", ""))[:MAX_REQUEST_ID_CHARACTERS]
        return {"x-request-id": request_id, "request-id": request_id} if request_id else {}

    def _ignore(self, _event: RequestBody) -> list[Command]:
        return []

    def _pass_trailers(self, _event: RequestTrailers) -> list[Command]:
        return [TrailersReply(Side.REQUEST)]

    def _respond(self, event: ResponseHeaders) -> list[Command]:
        self.state = State.RESPONDING
        if event.response_mode is not None:
            self._headers = self._headers._replace(response_mode=event.response_mode)
        passes = self._headers.response_mode is not BodyMode.NONE
        asked_model = self._asked_model if passes else ""
        self._response = ResponseReader(event, hide_usage=self._usage_added, model=asked_model)
        reply = HeadersReply(Side.RESPONSE, self._response.mutation(self._routed))
        return self._finish(reply) if event.end_of_stream else [reply]

    def _relay(self, event: ResponseBody) -> list[Command]:
        mode = self._headers.response_mode
        is_last = event.end_of_stream or mode in BUFFERED_MODES  # in which trailers may follow the one message
        data = self._reader().feed(event.data, end=is_last)
        replies: list[Command]
        if mode is BodyMode.FULL_DUPLEX_STREAMED:
            replies = _pieces(Side.RESPONSE, data, end_of_stream=event.end_of_stream)
        else:
            replies = [BodyReply(Side.RESPONSE, body=None if data == event.data else data)]
        return self._finish(*replies) if event.end_of_stream else replies

    def _end_with_trailers(self, _event: ResponseTrailers) -> list[Command]:
        pieces: list[Command] = []
        if self._headers.response_mode is BodyMode.FULL_DUPLEX_STREAMED and (
            rest := self._reader().feed(b"", end=True)
        ):
            pieces = _pieces(Side.RESPONSE, rest, end_of_stream=False)
        return self._finish(*pieces, TrailersReply(Side.RESPONSE))

    def _reader(self) -> ResponseReader:
        if self._response is None:  # response_header_mode: SKIP
            self.state = State.RESPONDING
            self._response = ResponseReader(ResponseHeaders({}), hide_usage=False)
        return self._response

    def _finish(self, *replies: Command) -> list[Command]:
        finish = self._reader().finish(complete=True)
        cost = finish.usage.total_tokens if finish.usage is not None else None
        if self._routed is None or cost is None:
            return [*replies, *self._end(finish)]
        return [*replies[:-1], WithCost(replies[-1], cost), *self._end(finish)]

    def _close(self, _event: Closed) -> list[Command]:
        if self._routed is None:
            return self._end()
        return self._end(self._response.finish(complete=False) if self._response is not None else UNKNOWN_END)

    def _end(self, *commands: Command) -> list[Command]:
        self.state = State.ENDED
        self._pieces.clear()
        return list(commands)


def _pieces(side: Side, body: bytes, *, end_of_stream: bool) -> list[Command]:
    """Split a body into pieces of at most PIECE_BYTES, at least one; only the last may end the stream."""
    starts = range(0, len(body), PIECE_BYTES) or range(1)
    return [
        StreamedBodyReply(side, body[start : start + PIECE_BYTES], end_of_stream and start == starts[-1])
        for start in starts
    ]


def _content_length(headers: Mapping[str, str]) -> int:
    """Return the content-length; 0 where it is missing, malformed or longer than MAX_DIGITS."""
    text = headers.get("content-length", "")
    return int(text) if len(text) <= MAX_DIGITS and text.isdecimal() else 0
