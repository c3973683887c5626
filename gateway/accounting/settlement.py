"""Settlement: computes the tokens that an ended request is charged.

Lives here: the step from an observed end and its verdict to tokens; pure.  Not here: the verdict (outcomes), where ends
come from (ledger).
Rules: docs/contracts.md sections 1 (upstream errors) and 3 (usage, clients that left, engines that died).
"""

from typing import NamedTuple

from gateway.accounting.estimates import ONE_ANSWER, Estimator, OutputBounds, PromptSize
from gateway.accounting.outcomes import OK, Charged, ObservedEnd, PodProof, verdict
from gateway.accounting.stream_sizes import StreamShape, StreamSize
from gateway.openai.operations import Operation
from gateway.openai.usage import TokenUsage
from ratelimit.kinds import NOTHING, Amounts
from ratelimit.prices import FREE, Prices

_EVENTS_AROUND_AN_ERROR = 2
"""Events of a stream that are no output: the one that names the role, and the error itself."""
_REPEATED = 4
_BESIDE_REPEATED = 4096
"""A Responses stream that fails repeats instructions and tools, which are of the prompt, in three events, with escapes
and with members of its own beside them: times the prompt's bytes, and further bytes, that are no output (chosen)."""


class Settlement(NamedTuple):
    """The settlement of one request: `tokens` are charged; input and output tokens are for metrics, None = unknown."""

    outcome: str
    tokens: int
    input_tokens: int | None = None
    output_tokens: int | None = None
    pod: PodProof = PodProof.NOTHING
    requests: int = 1  # 0 = the request itself is given back too

    @property
    def computed(self) -> bool:
        """Whether a pod computed the prompt, as far as is known: something of an answer came, or nothing is known."""
        return self.outcome in {"ok", "unknown"} or bool(self.output_tokens)


class Estimate(NamedTuple):
    """A request's tokens as estimated at admission."""

    prompt_tokens: int
    output_tokens: int
    streams: bool
    reserved_tokens: int | None = None  # where a limit allows less than all of them
    shape: StreamShape = StreamShape()
    with_usage: bool = False  # the engine was asked for the usage of the stream
    bounds: OutputBounds = ONE_ANSWER
    is_free: bool = False  # a usage in the answer is not charged: it is an earlier answer's, or none

    def stream_size(self, response_bytes: int) -> StreamSize:
        """Return the size of its stream."""
        return StreamSize(response_bytes, self.bounds.choices, int(self.with_usage))

    @property
    def tokens(self) -> int:
        """The tokens that are reserved."""
        if self.reserved_tokens is not None:
            return self.reserved_tokens
        return self.prompt_tokens + self.output_tokens


def settlement_for(estimate: Estimate, prompt: PromptSize, end: ObservedEnd, estimator: Estimator) -> Settlement:
    """Decide what a request is charged.

    Where the engine reported no usage, the prompt is charged as its likely tokens, not as the most that were reserved.
    """
    outcome, charged, pod = verdict(end)
    if charged is Charged.NOTHING:
        return Settlement(outcome, 0, 0, 0, pod, requests=0)
    if charged is Charged.REQUEST or (
        charged is Charged.PRODUCED and not _has_output(estimate, prompt, end, estimator)
    ):
        return Settlement(outcome, 0, 0, 0, pod)
    if end.usage is None and end.status is None:
        return Settlement(outcome, estimate.tokens, pod=pod)
    is_cut = outcome != OK.outcome
    usage = end.usage or TokenUsage()
    if is_cut and _counts_no_output_yet(usage):
        usage = usage._replace(completion_tokens=None)
    if usage.total_tokens is not None:
        return Settlement(outcome, usage.total_tokens, usage.prompt_tokens, usage.completion_tokens, pod)
    prompt_tokens, output_tokens = usage.prompt_tokens, usage.completion_tokens
    if prompt_tokens is None:
        prompt_tokens = estimator.likely_prompt_tokens(prompt)
    if output_tokens is None:
        output_tokens = _output_tokens(estimate, end, estimator, cut=is_cut)
    return Settlement(outcome, prompt_tokens + output_tokens, prompt_tokens, output_tokens, pod)


def cost_of(settlement: Settlement, usage: TokenUsage | None, prices: Prices, reserved: Amounts) -> int:
    """Return the money that a settlement is charged, in NANO parts.

    Where only the sum of its tokens is known, those that are no prompt's count as the answer's; where nothing is known
    of them, the money that was reserved stands.
    """
    tokens, input_tokens, output_tokens = settlement.tokens, settlement.input_tokens, settlement.output_tokens
    if not tokens:
        return 0
    if input_tokens is None and output_tokens is None:
        return reserved.cost if usage is None else prices.cost(0, tokens)
    if input_tokens is None:
        input_tokens = max(0, tokens - (output_tokens or 0))
    if output_tokens is None:
        output_tokens = max(0, tokens - input_tokens)
    cached = usage.cached_tokens if usage is not None else None
    return prices.cost(input_tokens, output_tokens, cached or 0)


def used_as_reported(reserved: Amounts, end: ObservedEnd, prices: Prices = FREE) -> Amounts:
    """Return what a request used of which only its reservation and its end are known.

    The reserved tokens stand where no usage was reported; where none were reserved, none are charged.
    """
    outcome, charged, _ = verdict(end)
    if charged is Charged.NOTHING:
        return NOTHING
    usage = end.usage
    counts_no_output = charged is Charged.PRODUCED and usage is not None and usage.completion_tokens == 0
    if charged is Charged.REQUEST or counts_no_output:
        return reserved._replace(tokens=0, cost=0)
    if usage is None or usage.total_tokens is None or not reserved.tokens:
        return reserved
    is_cut = outcome != OK.outcome
    if is_cut and _counts_no_output_yet(usage):
        return reserved
    total = usage.total_tokens
    settlement = Settlement(outcome, total, usage.prompt_tokens, usage.completion_tokens)
    return reserved._replace(tokens=total, cost=cost_of(settlement, usage, prices, reserved))


def _counts_no_output_yet(usage: TokenUsage) -> bool:
    """Return whether it is like that of the first event of Anthropic's Messages."""
    return usage.completion_tokens in (0, 1) and usage.reported_total is None


def _has_output(estimate: Estimate, prompt: PromptSize, end: ObservedEnd, estimator: Estimator) -> bool:
    """Return whether the answer had output before its error."""
    if end.usage is not None and end.usage.completion_tokens is not None:
        return end.usage.completion_tokens > 0
    if end.output_chunks is not None:
        return end.output_chunks > 0
    if not estimate.streams or end.response_bytes is None:
        return False
    if estimate.shape.operation == Operation.RESPONSES.path:
        beside = _REPEATED * prompt.text_bytes + _BESIDE_REPEATED
        end = end._replace(response_bytes=max(0, end.response_bytes - beside))
    return _output_tokens(estimate, end, estimator, cut=True) > _EVENTS_AROUND_AN_ERROR


def _output_tokens(estimate: Estimate, end: ObservedEnd, estimator: Estimator, *, cut: bool) -> int:
    """Estimate the output tokens of an answer whose usage was not reported, at most those that the request allows."""
    if end.status == 0:
        return 0
    if end.output_chunks is not None:
        tokens = estimator.chunk_tokens(end.output_chunks)
    elif estimate.streams and end.response_bytes is not None:
        size = estimate.stream_size(end.response_bytes)
        tokens = round(estimator.streams.tokens(estimate.shape, size, cut=cut))
    else:
        return estimate.output_tokens
    maximum = estimate.bounds.maximum
    return tokens if maximum is None else min(tokens, maximum * estimate.bounds.choices)
