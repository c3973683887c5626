"""What a finished request is charged and how it is counted.

Lives here: from what was seen of an end to tokens and an outcome; pure.  Not here: when the end comes (ledger).
Rules: contracts sections 1 (upstream errors) and 3 (usage, clients that left, engines that died).
"""

from typing import NamedTuple

from gateway.accounting.estimates import LIKELY_TEMPLATE_TOKENS, Estimator, PromptSize
from gateway.openai.usage import TokenUsage

FIRST_ERROR_STATUS = 400
FIRST_SERVER_ERROR_STATUS = 500


class ObservedEnd(NamedTuple):
    """What was seen of a request's end; nothing at all when no witness reported."""

    status: int | None = None  # None = nobody said; 0 = no answer reached the client
    usage: TokenUsage | None = None
    error_code: int | None = None  # an error event inside a stream
    cut: bool = False  # the client left
    broken: bool = False  # the pod's connection broke off in the answer
    response_bytes: int | None = None
    duration_s: float | None = None
    upstream: str = ""  # ip:port that answered
    output_chunks: int | None = None


class Settlement(NamedTuple):
    """`tokens` are charged; input and output are what the model worked, for metrics; None = unknown."""

    outcome: str
    tokens: int
    input_tokens: int | None = None
    output_tokens: int | None = None
    failed: bool = False


class Estimate(NamedTuple):
    """What was believed at admission."""

    prompt_tokens: int
    output_tokens: int
    streams: bool

    @property
    def tokens(self) -> int:
        """What is reserved."""
        return self.prompt_tokens + self.output_tokens


def settle(estimate: Estimate, prompt: PromptSize, seen: ObservedEnd, estimator: Estimator) -> Settlement:
    """Decide the charge.  Where nobody saw usage the prompt counts as what it likely was, not as what was reserved."""
    outcome = _outcome(seen)
    failed = outcome == "upstream_error"
    if seen.usage is not None:
        usage = seen.usage
        total = usage.total_tokens if usage.total_tokens is not None else estimate.tokens
        return Settlement(outcome, total, usage.prompt_tokens, usage.completion_tokens, failed)
    if seen.status is None:
        return Settlement(outcome, estimate.tokens)
    if seen.status >= FIRST_ERROR_STATUS or (seen.status == 0 and not seen.cut):
        return Settlement(outcome, 0, failed=failed)
    produced = _produced(estimate, seen, estimator)
    prompt_tokens = min(estimate.prompt_tokens, estimator.prompt_tokens(prompt, LIKELY_TEMPLATE_TOKENS))
    return Settlement(outcome, prompt_tokens + produced, prompt_tokens, produced, failed)


def _outcome(seen: ObservedEnd) -> str:
    if seen.status is None:
        return "unknown"
    if seen.broken or seen.error_code is not None or seen.status >= FIRST_SERVER_ERROR_STATUS:
        return "upstream_error"
    if seen.status >= FIRST_ERROR_STATUS:
        return "client_error"
    if seen.cut or seen.status == 0:
        return "cut"
    return "ok"


def _produced(estimate: Estimate, seen: ObservedEnd, estimator: Estimator) -> int:
    """Output tokens of an answer whose usage nobody saw."""
    if seen.status == 0:
        return 0
    if seen.output_chunks is not None:
        return seen.output_chunks
    if estimate.streams and seen.response_bytes is not None:
        return estimator.streamed_tokens(seen.response_bytes)
    return estimate.output_tokens
