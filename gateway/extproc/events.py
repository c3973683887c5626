"""What can happen to one exchange: Envoy's messages and the shell's answers, as plain values.

Lives here: the inputs of `exchange.Exchange.step`.  Not here: protobuf (wire), outputs (commands).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from gateway.envoy.names import RESPONSE_NAMESPACE
from gateway.openai.errors import RefusalError

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
    request_mode: BodyMode | None = None  # None: Envoy did not say
    response_mode: BodyMode | None = None
    subset: frozenset[str] | None = None  # addresses the proxy allows; None = all


class RequestBody(NamedTuple):
    """The whole body, or a piece of it."""

    data: bytes
    end_of_stream: bool = False


@dataclass(frozen=True, slots=True)
class RequestTrailers:
    """The request ended with trailers."""


class ResponseHeaders(NamedTuple):
    """The pod's (or Envoy's own) answer begins."""

    headers: Mapping[str, str]
    end_of_stream: bool = False
    served: str | None = None  # `ip:port` that answered, when Envoy says so


class ResponseBody(NamedTuple):
    """A piece of the answer."""

    data: bytes
    end_of_stream: bool = False


@dataclass(frozen=True, slots=True)
class ResponseTrailers:
    """The answer ended with trailers."""


class Routed(NamedTuple):
    """The request was admitted, and a pod was chosen."""

    exchange_id: str  # under which the ledger knows the request
    request_headers: Mapping[str, str]  # set on the way to the pod
    shown: Mapping[str, str]  # what the client should see, beside RESPONSE_NAMESPACE
    metadata: Mapping[str, Mapping[str, str]]  # dynamic metadata, by namespace
    pods: Mapping[str, str] = EMPTY  # address -> pod name, of every pod that may answer
    withheld: tuple[str, ...] = ()  # request headers that no pod may see

    @property
    def response_headers(self) -> dict[str, str]:
        """All that the client should see; in metadata mode Envoy puts it together."""
        return {**self.metadata.get(RESPONSE_NAMESPACE, EMPTY), **self.shown}


class Refused(NamedTuple):
    """The shell will not serve the request."""

    error: RefusalError
    headers: Mapping[str, str] = EMPTY  # beside those of the error


class Answered(NamedTuple):
    """The shell answers by itself, with 200 and a JSON body."""

    body: bytes
    headers: Mapping[str, str] = EMPTY


@dataclass(frozen=True, slots=True)
class Closed:
    """Envoy ended the stream; nothing comes after it."""


Event = (
    RequestHeaders | RequestBody | RequestTrailers | ResponseHeaders | ResponseBody | ResponseTrailers
    | Routed | Refused | Answered | Closed
)  # fmt: skip
