"""What an exchange asks for: replies to Envoy and work for the shell, as plain values.

Lives here: the outputs of `exchange.Exchange.step`.  Not here: protobuf (wire), inputs (events).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from gateway.openai.errors import RefusalError
from gateway.openai.operations import Operation
from gateway.openai.request import InferenceRequest
from gateway.openai.usage import TokenUsage

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
NO_METADATA: Mapping[str, Mapping[str, str]] = MappingProxyType({})


class Side(Enum):
    """Which half of the exchange a reply belongs to."""

    REQUEST = "request"
    RESPONSE = "response"


class Mutation(NamedTuple):
    """Changes to headers, with metadata for the filters that follow."""

    set_headers: Mapping[str, str] = NO_HEADERS
    remove_headers: tuple[str, ...] = ()
    metadata: Mapping[str, Mapping[str, str]] = NO_METADATA


NO_CHANGE = Mutation()


class HeadersReply(NamedTuple):
    """Go on from the headers."""

    side: Side
    mutation: Mutation = NO_CHANGE


GO_ON = HeadersReply(Side.REQUEST)
"""The commonest reply: to the headers of a buffered request."""


class BodyReply(NamedTuple):
    """Go on from a body message; `body` None = as it is."""

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
    """Go on from the trailers."""

    side: Side


@dataclass(frozen=True, slots=True)
class ImmediateReply:
    """Answer the client; nothing reaches a pod."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Abort:
    """The peer broke the protocol: end the stream with INVALID_ARGUMENT and this reason."""

    reason: str


class Admit(NamedTuple):
    """Decide about a complete request; the shell answers with Routed or Refused."""

    request: InferenceRequest
    headers: Mapping[str, str]
    subset: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A request the gateway answers by itself; the shell answers with Answered or Refused."""

    operation: Operation
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Refuse:
    """A request that cannot be served; the shell answers with Refused, having added what it knows."""

    error: RefusalError
    headers: Mapping[str, str]  # of the request


class Finish(NamedTuple):
    """The exchange is over.  What was not seen is None (in metadata mode: everything)."""

    status: int | None = None
    usage: TokenUsage | None = None
    error_code: int | None = None  # an error event inside a stream under status 200
    complete: bool = False  # the answer was seen to its end
    output_chunks: int | None = None  # content events of a stream
    served: str | None = None  # `ip:port` that answered


Command = (
    HeadersReply | BodyReply | StreamedBodyReply | TrailersReply | ImmediateReply
    | Abort | Admit | Answer | Refuse | Finish
)  # fmt: skip
