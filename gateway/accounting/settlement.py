"""Settlement: computes the tokens that an ended request is charged, and the outcome by which it is counted.

Lives here: the step from an observed end to tokens and an outcome; pure.  Not here: where ends come from (ledger).
Rules: docs/contracts.md sections 1 (upstream errors) and 3 (usage, clients that left, engines that died).
"""

from typing import NamedTuple

from gateway.accounting.estimates import LIKELY_TEMPLATE_TOKENS, Estimator, PromptSize
from gateway.openai.usage import TokenUsage

FIRST_ERROR_STATUS = 400
FIRST_SERVER_ERROR_STATUS = 500
"""HTTP status codes from which an answer is an error, and an error of the server (RFC 9110, section 15)."""


class ObservedEnd(NamedTuple):
    """The end of a request as Envoy's access log or the stream reported it; all defaults when neither did."""

    status: int | None = None  # None = not reported; 0 = no answer reached the client
    usage: TokenUsage | None = None
    error_code: int | None = None  # an error event inside a stream
    client_left: bool = False
    truncated: bool = False  # the answer broke off after its headers: the pod's fault, or a timeout
    response_bytes: int | None = None
    duration_s: float | None = None
    upstream: str = ""  # `ip:port` of the pod that answered
    output_chunks: int | None = None  # content events of a stream, about one token each


class Settlement(NamedTuple):
    """The settlement of one request: `tokens` are charged; input and output tokens are for metrics, None = unknown."""

    outcome: str
    tokens: int
    input_tokens: int | None = None
    output_tokens: int | None = None
    failed: bool = False


class Estimate(NamedTuple):
    """A request's tokens as estimated at admission."""

    prompt_tokens: int
    output_tokens: int
    streams: bool

    @property
    def tokens(self) -> int:
        """The tokens that are reserved."""
        return self.prompt_tokens + self.output_tokens


def settlement_for(estimate: Estimate, prompt: PromptSize, end: ObservedEnd, estimator: Estimator) -> Settlement:
    """Decide what a request is charged.

    Where the engine reported no usage, the prompt is charged as its likely tokens, not as the most that were reserved.
    """
    outcome = _outcome(end)
    failed = outcome == "upstream_error"
    if end.usage is not None:
        usage = end.usage
        total = usage.total_tokens if usage.total_tokens is not None else estimate.tokens
        return Settlement(outcome, total, usage.prompt_tokens, usage.completion_tokens, failed)
    if end.status is None:
        return Settlement(outcome, estimate.tokens)
    if end.status >= FIRST_ERROR_STATUS or (end.status == 0 and not end.client_left):
        return Settlement(outcome, 0, failed=failed)
    output_tokens = _output_tokens(estimate, end, estimator)
    prompt_tokens = min(estimate.prompt_tokens, estimator.prompt_tokens(prompt, LIKELY_TEMPLATE_TOKENS))
    return Settlement(outcome, prompt_tokens + output_tokens, prompt_tokens, output_tokens, failed)


def _outcome(end: ObservedEnd) -> str:
    if end.status is None:
        return "unknown"
    if end.truncated or end.error_code is not None or end.status >= FIRST_SERVER_ERROR_STATUS:
        return "upstream_error"
    if end.status >= FIRST_ERROR_STATUS:
        return "client_error"
    if end.client_left or end.status == 0:
        return "cut"
    return "ok"


def _output_tokens(estimate: Estimate, end: ObservedEnd, estimator: Estimator) -> int:
    """Estimate the output tokens of an answer whose usage was not reported."""
    if end.status == 0:
        return 0
    if end.output_chunks is not None:
        return end.output_chunks
    if estimate.streams and end.response_bytes is not None:
        return estimator.streamed_tokens(end.response_bytes)
    return estimate.output_tokens
