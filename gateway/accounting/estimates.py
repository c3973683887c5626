"""Estimates of tokens before they are known: what to reserve, and what an unfinished answer has used.

Lives here: tokens per byte of prompt, bytes per token of streamed answer and lengths of answers, learned per model from
finished requests.  Not here: who is charged (ledger), the quantile of lengths (quantile_histogram).
Ratios are of decayed sums, so that long requests weigh more than short ones and recent ones more than old ones.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from gateway.accounting.quantile_histogram import DECAY_OBSERVATIONS, DecayedQuantileHistogram
from gateway.config.settings import LimitSettings

PRIOR_STREAM_BYTES_PER_TOKEN = 215.0
"""Bytes of one content event in a recorded vLLM 0.32 stream: 212 to 217."""
PRIOR_PROMPT_BYTES = 2_000.0
"""Weight of the prior for tokens per byte, as bytes of prompts (chosen: a handful of requests outweighs it)."""
PRIOR_STREAM_TOKENS = 50.0
"""Weight of the prior for bytes per token, as tokens of streams (chosen: a handful of requests outweighs it)."""

MAX_TOKENS_PER_BYTE = 64
"""The most tokens per byte that one answer can teach: a picture's digest of 32 bytes may stand for 2,048 tokens, but an
engine that reports millions for a short prompt must not price everybody out (chosen)."""
MIN_OBSERVATIONS = 10
"""Observations before a quantile is used: of fewer, the default quantile is the maximum (chosen)."""
MAX_USER_HISTOGRAMS = 2_000
"""Histograms of single users per model, one for each order of magnitude of maxima; those with the latest answers are
kept, other users share the model's.  Chosen: at 1 KB each, 2 MB."""
MAX_TEMPLATE_TOKENS = 16
"""Tokens that a chat template adds to a prompt, when reserving, until learned: ChatML adds 7 to one message, Llama 3
adds 11."""
LIKELY_TEMPLATE_TOKENS = 7
"""The same when charging a request whose usage the engine did not report: the likely instead of the most."""


@dataclass(slots=True)
class _DecayedRatio:
    """A ratio of sums in which old summands decay."""

    numerator: float
    denominator: float

    def add(self, numerator: float, denominator: float) -> None:
        decay = 1.0 - 1.0 / DECAY_OBSERVATIONS
        self.numerator = self.numerator * decay + numerator
        self.denominator = self.denominator * decay + denominator

    @property
    def value(self) -> float:
        return self.numerator / self.denominator


class PromptSize(NamedTuple):
    """A prompt's size as known without a tokenizer: bytes of text, and tokens that were sent as ids."""

    text_bytes: int
    token_ids: int


class OutputBounds(NamedTuple):
    """How a request bounds its output: the maximum of one choice (None = none, 0 = no output), and choices."""

    maximum: int | None
    choices: int

    @property
    def magnitude(self) -> int:
        """The maximum's order of magnitude: equal for maxima that differ by less than a factor of two; 0 = none."""
        return 0 if self.maximum is None else self.maximum.bit_length()

    def total(self, length: int) -> int:
        """Return the tokens of all choices if each has this length or is cut off at the maximum."""
        return self.choices * (length if self.maximum is None else min(length, self.maximum))


class Estimator:
    """Estimates for one model."""

    def __init__(self, settings: LimitSettings) -> None:
        self._default_output = settings.output_tokens
        self._named_output = settings.named_output_tokens
        self._quantile = settings.output_quantile
        self._lengths: dict[tuple[str, int], DecayedQuantileHistogram] = {}  # by user ("" = all) and magnitude
        self._user_histograms = 0  # those of `_lengths` that belong to a single user
        self._overhead = DecayedQuantileHistogram(self._quantile)  # tokens of a prompt that its bytes do not explain
        self._tokens_per_byte = _DecayedRatio(settings.tokens_per_byte * PRIOR_PROMPT_BYTES, PRIOR_PROMPT_BYTES)
        self._bytes_per_token = _DecayedRatio(PRIOR_STREAM_BYTES_PER_TOKEN * PRIOR_STREAM_TOKENS, PRIOR_STREAM_TOKENS)

    def text_tokens(self, size: PromptSize) -> float:
        """Return tokens without a template's: exact for token ids, bytes times tokens per byte for text."""
        return size.token_ids + size.text_bytes * self._tokens_per_byte.value

    def prompt_tokens(self, size: PromptSize, template_tokens: int = MAX_TEMPLATE_TOKENS) -> int:
        """Return tokens with what a chat template adds to text; `template_tokens` is used until that is learned."""
        if not size.text_bytes:
            return size.token_ids
        overhead = self._overhead.value if self._overhead.count >= MIN_OBSERVATIONS else template_tokens
        return math.ceil(self.text_tokens(size)) + overhead

    def output_tokens(self, bounds: OutputBounds, user: str) -> int:
        """Return what to reserve: the learned quantile of the user's answers, else of all users', else the setting.

        Only answers under maxima of the same magnitude count.  Never more than the request's own maximum.
        """
        magnitude = bounds.magnitude
        for key in ((user, magnitude), ("", magnitude)):
            lengths = self._lengths.get(key)
            if lengths is not None and lengths.count >= MIN_OBSERVATIONS:
                return bounds.total(lengths.value)
        return bounds.total(self._default_output if bounds.maximum is None else self._named_output)

    def prior_output_tokens(self, bounds: OutputBounds) -> int:
        """Return what would be reserved by settings alone, without anything learned."""
        return bounds.total(self._default_output)

    def streamed_tokens(self, response_bytes: int) -> int:
        """Return the output tokens in this many bytes of a stream."""
        return round(response_bytes / self._bytes_per_token.value)

    def learn_prompt(self, size: PromptSize, prompt_tokens: int) -> None:
        """Learn from the prompt tokens that the engine reported."""
        if size.text_bytes and prompt_tokens > size.token_ids:
            text_tokens = min(prompt_tokens - size.token_ids, size.text_bytes * MAX_TOKENS_PER_BYTE)
            self._overhead.add(max(0, text_tokens - math.ceil(size.text_bytes * self._tokens_per_byte.value)))
            self._tokens_per_byte.add(text_tokens, size.text_bytes)

    def learn_output(self, bounds: OutputBounds, user: str, output_tokens: int) -> None:
        """Learn from the output tokens that the engine reported.

        An answer that was cut off at its maximum would have been longer: it counts as the largest of its magnitude.
        """
        if bounds.maximum == 0:
            return
        length = math.ceil(output_tokens / bounds.choices)
        if bounds.maximum is not None and length >= bounds.maximum:
            length = 2**bounds.magnitude - 1
        for key in {("", bounds.magnitude), (user, bounds.magnitude)}:
            self._learn_length(key, length)

    def _learn_length(self, key: tuple[str, int], length: int) -> None:
        lengths = self._lengths.pop(key, None)
        if lengths is None:
            lengths = DecayedQuantileHistogram(self._quantile)
            self._user_histograms += bool(key[0])
        lengths.add(length)
        self._lengths[key] = lengths  # the latest last
        if self._user_histograms > MAX_USER_HISTOGRAMS:
            del self._lengths[next(key for key in self._lengths if key[0])]
            self._user_histograms -= 1

    def learn_stream(self, response_bytes: int, output_tokens: int) -> None:
        """Learn from a finished stream's size and the output tokens that the engine reported."""
        if output_tokens > 0 and response_bytes > 0:
            self._bytes_per_token.add(response_bytes, output_tokens)
