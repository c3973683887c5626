"""Tokens before they are known: what to reserve, and what an unfinished answer has used.

Lives here: tokens per byte of prompt and bytes per token of streamed answer, learned per model from finished requests.
Not here: who is charged (ledger).  Ratios of sums, so that long requests weigh more; old evidence fades.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from gateway.settings import LimitSettings

MEMORY = 200
"""Requests after which evidence has faded to 1/e: follows a change of traffic within minutes (chosen)."""
FIRST_STREAM_BYTES_PER_TOKEN = 215.0
"""One content event of a recorded vLLM 0.32 stream: 212 to 217 bytes."""
PROMPT_PRIOR_BYTES = 2_000.0
OUTPUT_PRIOR_TOKENS = 50.0
"""The weight of the first guesses, in bytes and tokens seen (chosen: a handful of requests outweighs them)."""


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


class Estimator:
    """Estimates for one model."""

    def __init__(self, settings: LimitSettings) -> None:
        self._default_output = settings.output_tokens
        self._tokens_per_byte = _Ratio(settings.tokens_per_byte * PROMPT_PRIOR_BYTES, PROMPT_PRIOR_BYTES)
        self._bytes_per_token = _Ratio(FIRST_STREAM_BYTES_PER_TOKEN * OUTPUT_PRIOR_TOKENS, OUTPUT_PRIOR_TOKENS)

    def prompt_tokens(self, size: PromptSize) -> int:
        """Exact for token ids, else bytes times tokens per byte."""
        return size.token_ids + math.ceil(size.text_bytes * self._tokens_per_byte.value)

    def output_tokens(self, maximum: int | None, choices: int) -> int:
        """What to reserve: the first guess, never more than the maximum that the request names; times its choices."""
        return choices * (self._default_output if maximum is None else min(maximum, self._default_output))

    def streamed_tokens(self, response_bytes: int) -> int:
        """Output tokens in so many bytes of a stream."""
        return round(response_bytes / self._bytes_per_token.value)

    def learn_prompt(self, size: PromptSize, prompt_tokens: int) -> None:
        """A finished request told its real prompt size."""
        if size.text_bytes and prompt_tokens > size.token_ids:
            self._tokens_per_byte.learn(prompt_tokens - size.token_ids, size.text_bytes)

    def learn_stream(self, response_bytes: int, output_tokens: int) -> None:
        """A finished stream told its real output size."""
        if output_tokens > 0 and response_bytes > 0:
            self._bytes_per_token.learn(response_bytes, output_tokens)
