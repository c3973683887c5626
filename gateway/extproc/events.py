"""The events of an exchange: Envoy's messages and admission's decisions, as plain values.

Lives here: the inputs of `exchange.Exchange.step`.  Not here: protobuf (wire), outputs (commands).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from gateway.envoy.names import RESPONSE_NAMESPACE
from gateway.openai.errors import RefusalError
from ratelimit.accounts.sender import Sender

EMPTY: Mapping[str, str] = MappingProxyType({})


class BodyMode(IntEnum):
    """envoy.extensions.filters.http.ext_proc.v3.ProcessingMode.BodySendMode."""

    NONE = 0
    STREAMED = 1
    BUFFERED = 2
    BUFFERED_PARTIAL = 3
    FULL_DUPLEX_STREAMED = 4
    GRPC = 5


class RequestHeaders(NamedTuple):
    """The first message.  Header names are lower case; values of repeated headers are joined by a comma."""

    headers: Mapping[str, str]
    end_of_stream: bool = False
    request_mode: BodyMode | None = None  # None = Envoy did not say
    response_mode: BodyMode | None = None
    subset: frozenset[str] | None = None  # addresses that the proxy allows; None = all
    header_count: int = 0  # headers as the proxy counts them: repeated ones, pseudo headers and its own too
    size_bytes: int = 0  # of the message that brought them
    api_pool: str = ""  # the pool to whose API our own Envoy sends it, after it was admitted


class RequestBody(NamedTuple):
    """The body, or a piece of it."""

    data: bytes
    end_of_stream: bool = False


@dataclass(frozen=True, slots=True)
class RequestTrailers:
    """The request ended with trailers."""


class ResponseHeaders(NamedTuple):
    """The headers of the answer, which is a pod's or Envoy's own."""

    headers: Mapping[str, str]
    end_of_stream: bool = False
    upstream: str | None = None  # `ip:port` of the pod that answered, if Envoy says so
    response_mode: BodyMode | None = None  # said here where no request was shown


class ResponseBody(NamedTuple):
    """The answer's body, or a piece of it."""

    data: bytes
    end_of_stream: bool = False


@dataclass(frozen=True, slots=True)
class ResponseTrailers:
    """The answer ended with trailers."""


class Identified(NamedTuple):
    """It is known who sends the request."""

    sender: Sender | None  # None: nobody in particular, without limits


class Decoded(NamedTuple):
    """The body without its content codings, or why it has none."""

    body: bytes | RefusalError


class Routed(NamedTuple):
    """The request was admitted, and a pod was chosen."""

    exchange_id: str  # the key of the request in the ledger
    request_headers: Mapping[str, str]  # set on the request that the pod gets
    client_headers: Mapping[str, str]  # set on the answer, in addition to those in `metadata`
    metadata: Mapping[str, Mapping[str, str]]  # dynamic metadata by namespace; RESPONSE_NAMESPACE has client headers
    pods: Mapping[str, str] = EMPTY  # address -> pod name, of every pod that may answer
    remove_request_headers: tuple[str, ...] = ()  # those that no pod may see
    pools: Mapping[str, str] = EMPTY  # address -> pool, of every pod that is in one
    body: bytes | None = None  # in place of the request's; None = that one

    @property
    def response_headers(self) -> dict[str, str]:
        """All headers that are set on the answer; in metadata mode Envoy sets them."""
        return {**self.metadata.get(RESPONSE_NAMESPACE, EMPTY), **self.client_headers}


class Refused(NamedTuple):
    """The request is refused."""

    error: RefusalError
    headers: Mapping[str, str] = EMPTY  # in addition to the error's own


class Answered(NamedTuple):
    """The gateway answers the request itself, with a JSON body."""

    body: bytes
    headers: Mapping[str, str] = EMPTY
    status: int = 200


@dataclass(frozen=True, slots=True)
class Closed:
    """Envoy closed the stream; no event follows."""


Event = (
    RequestHeaders | RequestBody | RequestTrailers | ResponseHeaders | ResponseBody | ResponseTrailers
    | Identified | Decoded | Routed | Refused | Answered | Closed
)  # fmt: skip
