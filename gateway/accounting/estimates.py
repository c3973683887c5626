"""Tokens before they are known: what to reserve, and what an unfinished answer has used.

Lives here: tokens per byte of prompt, bytes per token of streamed answer and length of answers, learned per model from
finished requests.  Not here: who is charged (ledger), the quantile (lengths).
Ratios of sums, so that long requests weigh more; old evidence fades.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from gateway.accounting.lengths import MEMORY, Lengths
from gateway.config.settings import LimitSettings

FIRST_STREAM_BYTES_PER_TOKEN = 215.0
"""One content event of a recorded vLLM 0.32 stream: 212 to 217 bytes."""
PROMPT_PRIOR_BYTES = 2_000.0
OUTPUT_PRIOR_TOKENS = 50.0
"""The weight of the first guesses, in bytes and tokens seen (chosen: a handful of requests outweighs them)."""

MOST_TOKENS_PER_BYTE = 64
"""What one answer can teach at most: a picture's digest of 32 bytes may stand for 2,048 tokens, but an engine that
claims millions for a short prompt must not price everybody out (chosen)."""
ENOUGH_ANSWERS = 10
"""Answers before their lengths are believed: with fewer the default quantile is the longest one (chosen)."""
MAX_USERS = 2_000
"""Users of one model, times their sizes of maxima, whose lengths are remembered, those with the latest answers; others
have the model's.  Chosen: at 1 KB each, 2 MB."""
MOST_TEMPLATE_TOKENS = 16
LIKELY_TEMPLATE_TOKENS = 7
"""What chat templates add to a prompt, until it is learned: for what is reserved, for what is charged.  ChatML adds 7
to one message, Llama 3 adds 11."""


@dataclass(slots=True)
class _Ratio:
    numerator: float
    denominator: float

    def learn(self, numerator: float, denominator: float) -> None:
        fade = 1.0 - 1.0 / MEMORY
        self.numerator = self.numerator * fade + numerator
        self.denominator = self.denominator * fade + denominator

    @property
    def value(self) -> float:
        return self.numerator / self.denominator


class PromptSize(NamedTuple):
    """What is known of a prompt without a tokenizer: bytes of text, and tokens that were given as ids."""

    text_bytes: int
    token_ids: int


class OutputBounds(NamedTuple):
    """What a request says about its output: the maximum of one choice (None = none, 0 = no output), and choices."""

    maximum: int | None
    choices: int

    @property
    def size(self) -> int:
        """Maxima of one size are alike within a factor of two; 0 = none was named."""
        return 0 if self.maximum is None else self.maximum.bit_length()

    def most(self, length: int) -> int:
        """Tokens of all choices, each of this length or cut at the maximum."""
        return self.choices * (length if self.maximum is None else min(length, self.maximum))


class Estimator:
    """Estimates for one model."""

    def __init__(self, settings: LimitSettings) -> None:
        self._default_output = settings.output_tokens
        self._named_output = settings.named_output_tokens
        self._quantile = settings.output_quantile
        self._lengths: dict[tuple[str, int], Lengths] = {}  # by user and size of the maximum; "" = all users
        self._users = 0  # of these, those of single users
        self._beside = Lengths(self._quantile)  # tokens of a prompt that its bytes do not explain
        self._tokens_per_byte = _Ratio(settings.tokens_per_byte * PROMPT_PRIOR_BYTES, PROMPT_PRIOR_BYTES)
        self._bytes_per_token = _Ratio(FIRST_STREAM_BYTES_PER_TOKEN * OUTPUT_PRIOR_TOKENS, OUTPUT_PRIOR_TOKENS)

    def text_tokens(self, size: PromptSize) -> float:
        """Without what a template adds: exact for token ids, else bytes times tokens per byte."""
        return size.token_ids + size.text_bytes * self._tokens_per_byte.value

    def prompt_tokens(self, size: PromptSize, template: int = MOST_TEMPLATE_TOKENS) -> int:
        """With what a template adds to text, which is `template` until it is learned."""
        if not size.text_bytes:
            return size.token_ids
        beside = self._beside.quantile if self._beside.count >= ENOUGH_ANSWERS else template
        return math.ceil(self.text_tokens(size)) + beside

    def output_tokens(self, bounds: OutputBounds, user: str) -> int:
        """What to reserve: a length that few answers under maxima of this size exceed, never more than the maximum."""
        size = bounds.size
        for key in ((user, size), ("", size)):
            lengths = self._lengths.get(key)
            if lengths is not None and lengths.count >= ENOUGH_ANSWERS:
                return bounds.most(lengths.quantile)
        return bounds.most(self._default_output if bounds.maximum is None else self._named_output)

    def first_guess(self, bounds: OutputBounds) -> int:
        """The least that is worth trying: who has room for this is not refused for what is only expected."""
        return bounds.most(self._default_output)

    def streamed_tokens(self, response_bytes: int) -> int:
        """Output tokens in so many bytes of a stream."""
        return round(response_bytes / self._bytes_per_token.value)

    def learn_prompt(self, size: PromptSize, prompt_tokens: int) -> None:
        """A finished request told its real prompt size."""
        if size.text_bytes and prompt_tokens > size.token_ids:
            told = min(prompt_tokens - size.token_ids, size.text_bytes * MOST_TOKENS_PER_BYTE)
            self._beside.learn(max(0, told - math.ceil(size.text_bytes * self._tokens_per_byte.value)))
            self._tokens_per_byte.learn(told, size.text_bytes)

    def learn_output(self, bounds: OutputBounds, user: str, output_tokens: int) -> None:
        """A finished answer told its real output size; one that was cut at its maximum would have gone on."""
        if bounds.maximum == 0:
            return
        length = math.ceil(output_tokens / bounds.choices)
        if bounds.maximum is not None and length >= bounds.maximum:
            length = 2**bounds.size - 1
        for key in {("", bounds.size), (user, bounds.size)}:
            self._learn_length(key, length)

    def _learn_length(self, key: tuple[str, int], length: int) -> None:
        lengths = self._lengths.pop(key, None)
        if lengths is None:
            lengths = Lengths(self._quantile)
            self._users += bool(key[0])
        lengths.learn(length)
        self._lengths[key] = lengths  # the latest last
        if self._users > MAX_USERS:
            del self._lengths[next(key for key in self._lengths if key[0])]
            self._users -= 1

    def learn_stream(self, response_bytes: int, output_tokens: int) -> None:
        """A finished stream told its real output size."""
        if output_tokens > 0 and response_bytes > 0:
            self._bytes_per_token.learn(response_bytes, output_tokens)
