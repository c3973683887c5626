"""One HTTP request as Envoy tells it: a state machine without I/O, clock or protobuf.

Lives here: which message may follow which, body modes, what is sent back in which phase.
Not here: who is admitted and where it goes (gateway.admission), the wire format (wire).
Body modes and their rules: Envoy's external_processor.proto and Gateway API Inference Extension, proposal 004.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

from gateway.extproc.commands import (
    GO_ON,
    Abort,
    Admit,
    Answer,
    BodyReply,
    Command,
    Finish,
    HeadersReply,
    ImmediateReply,
    Mutation,
    Refuse,
    Side,
    StreamedBodyReply,
    TrailersReply,
)
from gateway.extproc.events import (
    Answered,
    BodyMode,
    Closed,
    Event,
    Refused,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
    Routed,
)
from gateway.extproc.response import ResponseReader, untrusted
from gateway.openai.errors import (
    BadRequestError,
    BodyTooLargeError,
    RefusalError,
    UnsupportedModeError,
    error_body,
    error_headers,
    error_status,
    header_safe,
)
from gateway.openai.operations import Operation, find_operation
from gateway.openai.request import parse_request
from gateway.openai.stream_usage import with_stream_usage

NOT_SEEN, NOTHING_SEEN = RequestHeaders({}), Finish()
PIECE_BYTES = 62_000
"""The largest body piece in full-duplex mode (proposal 004: below 64 KiB with room for framing)."""

MAX_DIGITS: Final = 18
"""Of a content-length: every 63-bit number; Python refuses to read thousands of digits."""


class State(StrEnum):
    """Where an exchange stands.  Of texts because a plain Enum hashes four times as slowly."""

    START = "start"
    COLLECTING = "collecting"  # headers seen, body not complete
    ADMITTING = "admitting"  # the shell decides
    FORWARDED = "forwarded"  # on its way to a pod
    RESPONDING = "responding"  # response headers seen
    ENDED = "ended"  # whatever still comes is ignored


TRANSITIONS: Final[Mapping[tuple[State, type[Event]], str]] = {
    (State.START, RequestHeaders): "_open",
    (State.START, ResponseHeaders): "_respond",  # a filter before us answered: we never saw the request
    (State.COLLECTING, RequestBody): "_collect",
    (State.COLLECTING, RequestTrailers): "_collect_trailers",
    (State.COLLECTING, ResponseHeaders): "_respond",  # Envoy answered by itself
    (State.ADMITTING, Routed): "_forward",
    (State.ADMITTING, Refused): "_refuse",
    (State.ADMITTING, Answered): "_answer",
    (State.FORWARDED, RequestTrailers): "_pass_trailers",
    (State.FORWARDED, ResponseHeaders): "_respond",
    (State.FORWARDED, ResponseBody): "_relay",  # response_header_mode: SKIP
    (State.FORWARDED, ResponseTrailers): "_end_with_trailers",
    (State.RESPONDING, RequestTrailers): "_pass_trailers",  # the pod answered before the request had ended
    (State.RESPONDING, ResponseBody): "_relay",
    (State.RESPONDING, ResponseTrailers): "_end_with_trailers",
    (State.START, Closed): "_close",
    (State.COLLECTING, Closed): "_close",
    (State.FORWARDED, Closed): "_close",
    (State.RESPONDING, Closed): "_close",
}
"""Every pair not listed breaks the protocol, except that ENDED ignores everything."""

COMPLETE_AT_ONCE: Final = frozenset({BodyMode.BUFFERED, BodyMode.BUFFERED_PARTIAL})
UNROUTABLE: Final = frozenset({BodyMode.NONE, BodyMode.STREAMED, BodyMode.GRPC})
"""Headers leave before the body is known."""


class Exchange:
    """Feed it events in order; perform the commands it returns in order.

    `step` never raises on input from outside: a refusal becomes a Refuse, nonsense an Abort.
    """

    def __init__(self, body_limit_bytes: int, *, compat: bool = False) -> None:
        self.state = State.START
        self._body_limit = body_limit_bytes
        self._compat = compat
        self._headers = NOT_SEEN
        self._operation: Operation | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._trailers = False
        self._body = b""  # what is forwarded, until it is
        self._injected = False  # the body is not the client's any more: it asks for usage
        self._routed: Routed | None = None
        self._response: ResponseReader | None = None

    def step(self, event: Event) -> list[Command]:
        """Advance by one event."""
        if self.state is State.ENDED:
            return []
        name = TRANSITIONS.get((self.state, type(event)))
        if name is None:
            reason = f"{type(event).__name__} in state {self.state.value}"
            return [*self._close(Closed()), Abort(reason)]  # a routed request is over all the same
        handler: Callable[[Any], list[Command]] = getattr(self, name)
        try:
            return handler(event)
        except RefusalError as error:
            self.state = State.ADMITTING
            return [Refuse(error, self._headers.headers)]

    def _open(self, event: RequestHeaders) -> list[Command]:
        self._headers = event
        headers = event.headers
        self._operation = operation = find_operation(headers.get(":method", ""), headers.get(":path", ""))
        if operation.body is None:
            self.state = State.ADMITTING
            return [Answer(operation, headers)]
        if event.end_of_stream:
            raise BadRequestError("body is empty")
        if event.request_mode in UNROUTABLE:
            mode = BodyMode(event.request_mode).name
            raise UnsupportedModeError(f"request_body_mode = {mode}, must be BUFFERED or FULL_DUPLEX_STREAMED")
        self._check_size(_whole(headers.get("content-length", "")))
        self.state = State.COLLECTING
        return [] if event.request_mode is BodyMode.FULL_DUPLEX_STREAMED else [GO_ON]

    def _check_size(self, size: int) -> None:
        if size > self._body_limit:
            raise BodyTooLargeError(f"body = {size} bytes, must be at most {self._body_limit}")

    def _collect(self, event: RequestBody) -> list[Command]:
        self._size += len(event.data)
        self._check_size(self._size)
        self._pieces.append(event.data)
        mode = self._headers.request_mode
        if mode is BodyMode.BUFFERED_PARTIAL and not event.end_of_stream:
            raise BodyTooLargeError(f"body is over what the proxy buffers, {self._size} bytes")
        if event.end_of_stream or mode in COMPLETE_AT_ONCE:
            return self._admit()
        return []

    def _collect_trailers(self, _event: RequestTrailers) -> list[Command]:
        self._trailers = True
        return self._admit()

    def _admit(self) -> list[Command]:
        assert self._operation is not None  # noqa: S101 - set by _open, the only way here
        headers = self._headers.headers
        body = b"".join(self._pieces)
        self._pieces.clear()
        request = parse_request(self._operation, headers.get("content-type", ""), body)
        changed = with_stream_usage(body, request)
        self._injected = changed is not None
        self._body = body if changed is None else changed
        self.state = State.ADMITTING
        return [Admit(request, headers, self._headers.subset)]

    def _forward(self, event: Routed) -> list[Command]:
        self._routed = event
        self.state = State.FORWARDED
        body, self._body = self._body, b""
        request_headers = dict(event.request_headers)
        if self._injected:
            request_headers["content-length"] = str(len(body))
        removed = untrusted(self._headers.headers, request_headers)
        mutation = Mutation(request_headers, (*removed, *event.withheld), event.metadata)
        trailers: list[Command] = [TrailersReply(Side.REQUEST)] if self._trailers else []
        if self._headers.request_mode is BodyMode.FULL_DUPLEX_STREAMED:
            pieces = _pieces(Side.REQUEST, body, end_of_stream=not self._trailers)
            return [HeadersReply(Side.REQUEST, mutation), *pieces, *trailers]
        return [BodyReply(Side.REQUEST, mutation, body if self._injected else None), *trailers]

    def _refuse(self, event: Refused) -> list[Command]:
        headers = {**event.headers, **self._request_ids(), **dict(error_headers(event.error))}
        status = error_status(event.error, compat=self._compat)
        return self._end(ImmediateReply(status, headers, error_body(event.error, compat=self._compat)))

    def _answer(self, event: Answered) -> list[Command]:
        headers = {"content-type": "application/json", **self._request_ids(), **event.headers}
        return self._end(ImmediateReply(200, headers, event.body))

    def _request_ids(self) -> dict[str, str]:
        request_id = header_safe(self._headers.headers.get("x-request-id", ""))
        return {"x-request-id": request_id, "request-id": request_id} if request_id else {}

    def _pass_trailers(self, _event: RequestTrailers) -> list[Command]:
        return [TrailersReply(Side.REQUEST)]

    def _respond(self, event: ResponseHeaders) -> list[Command]:
        self.state = State.RESPONDING
        self._response = ResponseReader(event, hide_usage=self._injected)
        reply = HeadersReply(Side.RESPONSE, self._response.mutation(self._routed))
        return self._finish(reply) if event.end_of_stream else [reply]

    def _relay(self, event: ResponseBody) -> list[Command]:
        shown = self._reader().feed(event.data, end=event.end_of_stream)
        replies: list[Command]
        if self._headers.response_mode is BodyMode.FULL_DUPLEX_STREAMED:
            replies = _pieces(Side.RESPONSE, shown, end_of_stream=event.end_of_stream)
        else:
            replies = [BodyReply(Side.RESPONSE, body=None if shown == event.data else shown)]
        return self._finish(*replies) if event.end_of_stream else replies

    def _end_with_trailers(self, _event: ResponseTrailers) -> list[Command]:
        held: list[Command] = []
        if self._headers.response_mode is BodyMode.FULL_DUPLEX_STREAMED and (
            rest := self._reader().feed(b"", end=True)
        ):
            held = _pieces(Side.RESPONSE, rest, end_of_stream=False)
        return self._finish(*held, TrailersReply(Side.RESPONSE))

    def _reader(self) -> ResponseReader:
        if self._response is None:  # the response headers were not for us
            self.state = State.RESPONDING
            self._response = ResponseReader(ResponseHeaders({}), hide_usage=False)
        return self._response

    def _finish(self, *replies: Command) -> list[Command]:
        return [*replies, *self._end(self._reader().finish(complete=True))]

    def _close(self, _event: Closed) -> list[Command]:
        if self._routed is None:
            return self._end()
        return self._end(self._response.finish(complete=False) if self._response is not None else NOTHING_SEEN)

    def _end(self, *commands: Command) -> list[Command]:
        self.state = State.ENDED
        self._pieces.clear()
        return list(commands)


def _pieces(side: Side, body: bytes, *, end_of_stream: bool) -> list[Command]:
    """The body in pieces of bounded size, at least one; only the last may end the stream."""
    starts = range(0, len(body), PIECE_BYTES) or range(1)
    return [
        StreamedBodyReply(side, body[start : start + PIECE_BYTES], end_of_stream and start == starts[-1])
        for start in starts
    ]


def _whole(text: str) -> int:
    """A header's number; 0 for what is none.  Longer than MAX_DIGITS is no length of anything."""
    return int(text) if len(text) <= MAX_DIGITS and text.isdecimal() else 0
