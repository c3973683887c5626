"""Output tokens of a stream by the bytes of its answer, learned for each shape of stream that a model sends.

Lives here: what decides the bytes of an event, and what was learned of each such shape.  Not here: prompts and lengths
(estimates), the arithmetic (regression).
A stream of chat is an event that names the role, events of one token or several, one with the reason of its end,
perhaps one with the usage, and `[DONE]`.
"""

from typing import NamedTuple

from gateway.accounting.quantile_histogram import DECAY_OBSERVATIONS
from gateway.accounting.regression import BoundedRegression, Term

PRIOR_BYTES_PER_TOKEN = 215.0
"""Bytes of one content event in a recorded vLLM 0.32 stream: 212 to 217."""
MIN_BYTES_PER_TOKEN = 2.0
MAX_BYTES_PER_TOKEN = 20_000.0
"""Bounds of the bytes per token: events with many tokens each, and events with 20 log probabilities (chosen)."""
AROUND_TOKENS = 1.5
"""Events of a stream without tokens, in tokens: 300 bytes in a recorded stream."""
USAGE_TOKENS = 0.9
"""The event with the usage, in tokens: 192 bytes in a recorded stream."""
MAX_AROUND_TOKENS = 500.0
"""The most that either of them is worth, where an event carries many tokens (chosen)."""
CUT_SHARE = 0.5
"""The part of AROUND_TOKENS that comes before the output, all that a stream has that was cut."""
MIN_WEIGHED_TOKENS = 10.0
"""Shorter streams weigh no more than streams of so many tokens (chosen)."""
MAX_SHAPES = 64
"""Shapes that are remembered per model; those that ended last are kept (chosen)."""

_TERMS = (
    Term(1 / PRIOR_BYTES_PER_TOKEN, 2 * PRIOR_BYTES_PER_TOKEN**2, 1 / MAX_BYTES_PER_TOKEN, 1 / MIN_BYTES_PER_TOKEN),
    Term(-AROUND_TOKENS, 0.02, -MAX_AROUND_TOKENS, 0.0),
    Term(-USAGE_TOKENS, 0.02 * AROUND_TOKENS / USAGE_TOKENS, -MAX_AROUND_TOKENS, 0.0),
)
"""Bytes; choices, each with events around its tokens; whether the usage is reported.  The priors weigh little, as a
stream of two tokens (chosen: engines with many tokens per event are far from them), and the last two so that they scale
alike, because streams that all report their usage do not tell them apart."""


class StreamShape(NamedTuple):
    """The properties of a request that decide the bytes of an event of its answer."""

    operation: str = ""
    options: tuple[object, ...] = ()  # whichever add to an event, such as log probabilities


class StreamSize(NamedTuple):
    """The size of one stream, or sums of several of one shape."""

    response_bytes: int
    choices: float
    with_usage: int  # 1 = the engine was asked for the usage


class StreamSizes:
    """One model's streams: bytes per token and what is around the tokens, learned for each shape."""

    def __init__(self) -> None:
        self._shapes: dict[StreamShape, BoundedRegression] = {}

    def tokens(self, shape: StreamShape, size: StreamSize, *, cut: bool = False) -> float:
        """Return the output tokens of a stream, of a complete one or of one that was cut."""
        regression = self._shapes.get(shape)
        per_byte, per_choice, with_usage = regression.coefficients if regression else self._prior(shape)
        around = per_choice * size.choices
        around = around * CUT_SHARE if cut else around + with_usage * size.with_usage
        return max(0.0, per_byte * size.response_bytes + around)

    def learn(
        self, shape: StreamShape, size: StreamSize, tokens: float, streams: int = 1, *, sampled: bool = False
    ) -> None:
        """Learn from the output tokens that complete streams had, or, where `sampled`, as many others like them.

        What no stream can have teaches nothing.
        """
        if not MIN_BYTES_PER_TOKEN <= size.response_bytes / max(tokens, 0.01) <= MAX_BYTES_PER_TOKEN:
            return
        regression = self._shapes.pop(shape, None)
        if regression is None:
            terms = [term._replace(prior=prior) for term, prior in zip(_TERMS, self._prior(shape), strict=True)]
            regression = BoundedRegression(terms, DECAY_OBSERVATIONS)
        self._shapes[shape] = regression  # the latest last
        if len(self._shapes) > MAX_SHAPES:
            del self._shapes[next(iter(self._shapes))]
        features = (size.response_bytes, size.choices, size.with_usage)
        if sampled:
            regression.learn_sample(features, tokens, streams)
        else:
            regression.learn(features, tokens, 1 / max(tokens, MIN_WEIGHED_TOKENS * streams), streams)

    def _prior(self, shape: StreamShape) -> list[float]:
        """Return the coefficients of a shape before it is learned: those of another API with the same options."""
        for known in reversed(self._shapes):
            if known.options == shape.options:
                return self._shapes[known].coefficients
        return [term.prior for term in _TERMS]
