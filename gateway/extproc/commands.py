"""The commands of an exchange: replies to Envoy, and work for whoever runs the exchange, as plain values.

Lives here: the outputs of `exchange.Exchange.step`.  Not here: protobuf (wire), inputs (events).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from gateway.openai.engine_errors import EngineError
from gateway.openai.errors import RefusalError
from gateway.openai.operations import Operation
from gateway.openai.request import InferenceRequest
from gateway.openai.usage import TokenUsage
from ratelimit.accounts.sender import Sender

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
NO_METADATA: Mapping[str, Mapping[str, str]] = MappingProxyType({})


class Side(Enum):
    """The half of the exchange that a reply belongs to."""

    REQUEST = "request"
    RESPONSE = "response"


class Mutation(NamedTuple):
    """Changes to headers, with dynamic metadata by namespace for the filters that follow."""

    set_headers: Mapping[str, str] = NO_HEADERS
    remove_headers: tuple[str, ...] = ()
    metadata: Mapping[str, Mapping[str, str]] = NO_METADATA


NO_CHANGE = Mutation()


class HeadersReply(NamedTuple):
    """Continue after the headers; a `body` takes the place of the whole one, and no reply follows."""

    side: Side
    mutation: Mutation = NO_CHANGE
    body: bytes | None = None


CONTINUE = HeadersReply(Side.REQUEST)
"""The most frequent reply: continue after the headers of a buffered request."""


class BodyReply(NamedTuple):
    """Continue after a body message; `body` None = unchanged."""

    side: Side
    mutation: Mutation = NO_CHANGE
    body: bytes | None = None


class StreamedBodyReply(NamedTuple):
    """One piece of a body in full-duplex mode, at most `exchange.PIECE_BYTES`."""

    side: Side
    body: bytes
    end_of_stream: bool


@dataclass(frozen=True, slots=True)
class TrailersReply:
    """Continue after the trailers."""

    side: Side


class WithCost(NamedTuple):
    """The last reply of an answer, with the tokens that the request has cost as metadata for the proxy."""

    reply: "Command"
    tokens: int


@dataclass(frozen=True, slots=True)
class ImmediateReply:
    """Answer the client instead of a pod."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Abort:
    """The peer broke the protocol: end the stream with INVALID_ARGUMENT and this reason."""

    reason: str


class Identify(NamedTuple):
    """Tell who sends a request, before its body is gathered.  The event Identified or Refused follows."""

    headers: Mapping[str, str]


class Decode(NamedTuple):
    """Undo the content codings of a complete body, which takes too long for the event loop.  Decoded follows."""

    content_encoding: str
    body: bytes
    limit_bytes: int


class Admit(NamedTuple):
    """Decide about a complete request.  The event Routed, Refused or, for a dry run, Answered follows."""

    request: InferenceRequest
    headers: Mapping[str, str]
    subset: frozenset[str] | None
    sender: Sender | None  # None: nobody in particular, without limits
    asked_model: str = ""  # by the client, where the request asks for another; empty = that of the request
    body: bytes = b""

    @property
    def user(self) -> str | None:
        """The user whose limits count."""
        return None if self.sender is None else self.sender.user


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer a request without a pod.  The event Answered or Refused follows."""

    operation: Operation
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse a request.  The event Refused follows, with headers that admission adds."""

    error: RefusalError
    headers: Mapping[str, str]  # of the request


class Finish(NamedTuple):
    """The exchange is over.  None = not known, as everything is in metadata mode, where the answer is not seen."""

    status: int | None = None
    usage: TokenUsage | None = None
    error: EngineError | None = None  # reported inside an answer with status 200
    complete: bool = False  # the answer passed through to its end
    output_chunks: int | None = None  # content events of a stream
    upstream: str | None = None  # `ip:port` of the pod that answered
    compressed: bool = False  # the answer, which could not be read


Command = (
    HeadersReply | BodyReply | StreamedBodyReply | TrailersReply | ImmediateReply
    | WithCost | Abort | Identify | Decode | Admit | Answer | Refuse | Finish
)  # fmt: skip
