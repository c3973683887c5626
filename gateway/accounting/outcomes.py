"""The table of outcomes: how a request ended, which of it is charged, and whether its pod is to blame.

Lives here: the one table for both response modes (docs/operations.md, "How requests end").  Not here: where ends come
from (access_log, serving.ext_proc_stream), how much is charged (settlement), setting pods aside (fleet.pod).
"""

from enum import Enum
from typing import NamedTuple

from gateway.openai.engine_errors import NOT_IMPLEMENTED, EngineError
from gateway.openai.errors import FIRST_ERROR, FIRST_SERVER_ERROR
from gateway.openai.usage import TokenUsage

_REQUEST_TIMEOUT = 408
"""Envoy's status when the rest of a request does not arrive."""


class ObservedEnd(NamedTuple):
    """The end of a request as Envoy's access log or the stream reported it; all defaults when neither did."""

    status: int | None = None  # None = not reported; 0 = no answer reached the client
    usage: TokenUsage | None = None
    error: EngineError | None = None  # reported by the engine inside an answer with status 200
    client_left: bool = False
    broken: bool = False  # the connection to the pod broke, before its answer or in it
    timed_out: bool = False  # Envoy gave up, before the pod's answer or in it
    accepted: bool = True  # some pod was sent the request
    from_pod: bool = True  # the status is a pod's, not Envoy's own
    compressed: bool = False  # so that neither the usage could be read, nor do the bytes say how much it was
    response_bytes: int | None = None  # without those of `error`
    duration_s: float | None = None
    upstream: str = ""  # `ip:port` of the pod that answered
    output_chunks: int | None = None  # content events of a stream, about one token each
    retry_after_s: float = 0.0  # of an answer 429; 0 = it says none

    def with_seen(self, seen: "ObservedEnd") -> "ObservedEnd":
        """Return the access log's end with what passed through the gateway, which Envoy was not asked to read."""
        return self._replace(
            usage=seen.usage,
            error=seen.error,
            output_chunks=seen.output_chunks,
            upstream=self.upstream or seen.upstream,
        )


class Charged(Enum):
    """The part of a request that stays charged."""

    USED = "used"  # the request and its tokens: those that were reported, else those that were likely produced
    PRODUCED = "produced"  # the same, or the request alone where nothing was produced
    REQUEST = "request"
    NOTHING = "nothing"


class PodProof(Enum):
    """The sign that the end is of how the pod does."""

    WORKS = "works"
    FAILED = "failed"
    NOTHING = "nothing"


class Verdict(NamedTuple):
    """One row of the table."""

    outcome: str  # of `forebay_requests_total`
    charged: Charged
    pod: PodProof = PodProof.NOTHING


UNREPORTED = Verdict("unknown", Charged.USED)
UNSENT_CUT = Verdict("cut", Charged.NOTHING)
UNSENT_CALLER = Verdict("client_error", Charged.NOTHING)
UNSENT = Verdict("upstream_error", Charged.NOTHING)
ENGINE_EVENT = Verdict("upstream_error", Charged.PRODUCED, PodProof.FAILED)
UNSAID_EVENT = Verdict("upstream_error", Charged.PRODUCED)
CALLER_EVENT = Verdict("client_error", Charged.PRODUCED)
BROKE_OFF = Verdict("upstream_error", Charged.USED, PodProof.FAILED)
STALLED = Verdict("upstream_error", Charged.USED)
UNANSWERED = Verdict("upstream_error", Charged.REQUEST, PodProof.FAILED)
POD_ERROR = Verdict("upstream_error", Charged.REQUEST, PodProof.FAILED)
BLAMELESS_ERROR = Verdict("upstream_error", Charged.REQUEST)
CALLER_ERROR = Verdict("client_error", Charged.REQUEST)
CUT = Verdict("cut", Charged.USED)
OK = Verdict("ok", Charged.USED, PodProof.WORKS)
"""The rows, in the order of the table in docs/operations.md."""

_OF_EVENT = {
    EngineError.ENGINE: ENGINE_EVENT,
    EngineError.UNSAID: UNSAID_EVENT,
    EngineError.CALLER: CALLER_EVENT,
}


def verdict(end: ObservedEnd) -> Verdict:
    """Return the first row that fits."""
    status = end.status
    if status is None:
        return UNREPORTED
    if not end.accepted:
        return _unsent(status, client_left=end.client_left)
    if end.error is not None and status < FIRST_ERROR:
        return _OF_EVENT[end.error]
    if end.broken or end.timed_out:
        return _given_up(status, broken=end.broken)
    if status >= FIRST_ERROR:
        return _error(status, from_pod=end.from_pod)
    return CUT if end.client_left or status == 0 else OK


def _unsent(status: int, *, client_left: bool) -> Verdict:
    if client_left:
        return UNSENT_CUT
    return UNSENT_CALLER if FIRST_ERROR <= status < FIRST_SERVER_ERROR else UNSENT


def _given_up(status: int, *, broken: bool) -> Verdict:
    if status < FIRST_ERROR:
        return BROKE_OFF if broken else STALLED
    return CALLER_ERROR if status == _REQUEST_TIMEOUT else UNANSWERED


def _error(status: int, *, from_pod: bool) -> Verdict:
    if status < FIRST_SERVER_ERROR:
        return CALLER_ERROR
    return POD_ERROR if from_pod and status != NOT_IMPLEMENTED else BLAMELESS_ERROR
