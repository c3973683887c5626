"""Estimates of tokens before they are known: what to reserve, and what an unfinished answer has used.

Lives here: tokens of prompts by their size, and lengths of answers, learned per model from finished requests.
Not here: streams by their bytes (stream_sizes), who is charged (ledger), the arithmetic (regression,
quantile_histogram).
Everything learned is bounded and decays, so that what one engine or user reports passes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.accounting.quantile_histogram import DECAY_OBSERVATIONS, DecayedQuantileHistogram
from gateway.accounting.regression import BoundedRegression, Term
from gateway.accounting.stream_sizes import StreamSizes
from gateway.config.limits import LimitSettings

PRIOR_PROMPT_TOKENS = 100.0
"""Weight of the prior for tokens of prompts: one prompt of so many (chosen: a handful of requests outweighs it)."""

PRIOR_TEMPLATE_WEIGHT = 0.05
"""Weight of the prior for tokens of a template: ten prompts of 200 tokens outweigh it (chosen)."""

MAX_TOKENS_PER_BYTE = 1.0
MIN_TOKENS_PER_BYTE = 1 / 64
"""Bounds of the tokens in a byte of text: vocabularies of bytes have no shorter token, and no text has long ones only
(chosen).  A report outside of them is not about the text and teaches nothing."""
MAX_LEARNED_TEMPLATE_TOKENS = 1024
"""The most tokens that an engine may add to a prompt, such as a system prompt of its own (chosen)."""
MAX_MARGIN_PERCENT = 50
"""The most by which a prompt's reservation exceeds its expected tokens (chosen)."""
LARGEST_WEIGHT_TOKENS = 16_384.0
"""Larger prompts weigh no more than prompts of this size: one of a megabyte must not decide for all (chosen)."""
MEDIA_SCALE = 16.0
"""How many times more, or fewer, tokens than is stated a model's pictures, recordings and files may turn out to have
(chosen)."""
PRIOR_MEDIA_TOKENS = 4_000.0
"""Weight of the stated tokens of media (chosen: a handful of pictures outweighs it)."""
MIN_OBSERVATIONS = 10
"""Observations before a quantile is used: of fewer, the default quantile is the maximum (chosen)."""
MAX_USER_HISTOGRAMS = 2_000
"""Histograms of single users per model, one for each order of magnitude of maxima; those with the latest answers are
kept, other users share the model's.  Chosen: at 1 KB each, 2 MB."""
PRIOR_CHUNKS = 50.0
"""Weight of the prior of one token in an event (chosen)."""
MAX_TOKENS_PER_CHUNK = 1000
"""The most tokens that an event of a stream carries (chosen)."""
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
    """A prompt's size as known without a tokenizer: bytes of text, tokens sent as ids, stated tokens of media, and the
    bytes that are read again at most.

    Scripts differ in how many tokens a byte makes; `extra_bytes`, those beyond one per character, tell them apart.
    """

    text_bytes: int
    token_ids: int
    extra_bytes: int = 0
    media_tokens: int = 0
    repeated_bytes: int = 0


def _prompt_terms(tokens_per_byte: float) -> tuple[Term, Term, Term]:
    """Return the terms of a prompt, its characters and its further bytes; the prior weighs PRIOR_PROMPT_TOKENS."""
    weight = PRIOR_PROMPT_TOKENS / tokens_per_byte**2
    return (
        Term(LIKELY_TEMPLATE_TOKENS, PRIOR_TEMPLATE_WEIGHT, 0.0, MAX_LEARNED_TEMPLATE_TOKENS),
        Term(tokens_per_byte, weight, MIN_TOKENS_PER_BYTE, MAX_TOKENS_PER_BYTE),
        Term(tokens_per_byte, weight, 0.0, MAX_TOKENS_PER_BYTE),
    )


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


ONE_ANSWER = OutputBounds(None, 1)
"""The bounds of one answer of any length."""


class Estimator:
    """Estimates for one model."""

    def __init__(self, settings: LimitSettings) -> None:
        self._default_output = settings.output_tokens
        self._named_output = settings.named_output_tokens
        self._quantile = settings.output_quantile
        self._lengths: dict[tuple[str, int], DecayedQuantileHistogram] = {}  # by user ("" = all) and magnitude
        self._user_histograms = 0  # those of `_lengths` that belong to a single user
        self._prior_tokens_per_byte = settings.tokens_per_byte
        self._prompt = BoundedRegression(_prompt_terms(settings.tokens_per_byte), DECAY_OBSERVATIONS)
        self._margin = DecayedQuantileHistogram(self._quantile)  # percent of a prompt that the regression lacks
        self._template = settings.template_tokens  # the most that an engine is known to add to a prompt
        self._media = _DecayedRatio(PRIOR_MEDIA_TOKENS, PRIOR_MEDIA_TOKENS)
        self._tokens_per_chunk = _DecayedRatio(PRIOR_CHUNKS, PRIOR_CHUNKS)
        self.streams = StreamSizes()
        """The output tokens of streams by their bytes."""

    def text_tokens(self, size: PromptSize) -> float:
        """Return tokens without a template's and media's: exact for token ids."""
        _, per_character, per_extra_byte = self._prompt.coefficients
        return size.token_ids + per_character * (size.text_bytes - size.extra_bytes) + per_extra_byte * size.extra_bytes

    def likely_prompt_tokens(self, size: PromptSize) -> int:
        """Return the expected tokens of a prompt, with what a chat template adds to text."""
        tokens = self.text_tokens(size)
        if size.text_bytes:
            tokens += self._prompt.coefficients[0]
        if size.media_tokens:
            tokens += size.media_tokens * self._media.value
        return round(tokens)

    def prompt_tokens(self, size: PromptSize) -> int:
        """Return what to reserve for a prompt: the expected tokens, and a margin for those that have more."""
        if not (size.text_bytes or size.media_tokens):
            return size.token_ids
        likely = self.likely_prompt_tokens(size)
        if self._margin.count < MIN_OBSERVATIONS:
            return likely + MAX_TEMPLATE_TOKENS - LIKELY_TEMPLATE_TOKENS
        return likely + math.ceil((likely - size.token_ids) * min(self._margin.value, MAX_MARGIN_PERCENT) / 100)

    def most_prompt_tokens(self, size: PromptSize) -> int:
        """Return an upper bound of a prompt's tokens.

        No byte-level vocabulary has a token of less than a byte; marks of messages take the place of the bytes of their
        roles.  Beyond them an engine's template adds what the setting says, or the most that it was seen to add.
        """
        if not (size.text_bytes or size.media_tokens):
            return size.token_ids
        media = math.ceil(size.media_tokens * MEDIA_SCALE)
        return size.text_bytes + size.repeated_bytes + size.token_ids + media + self._template

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

    def chunk_tokens(self, chunks: int) -> int:
        """Return the output tokens in this many events of a stream that carry output."""
        return round(chunks * self._tokens_per_chunk.value)

    def learn_prompt(self, size: PromptSize, prompt_tokens: int) -> None:
        """Learn from the prompt tokens that the engine reported: about text from prompts of nothing else.

        What no text can have teaches nothing about it.
        """
        if size.media_tokens:
            others = self.likely_prompt_tokens(size._replace(media_tokens=0))
            share = max(0, prompt_tokens - others) / size.media_tokens
            scale = min(MEDIA_SCALE, max(1 / MEDIA_SCALE, share))
            self._media.add(scale * size.media_tokens, size.media_tokens)
            return
        tokens = prompt_tokens - size.token_ids
        self._template = max(self._template, min(tokens - size.text_bytes, MAX_LEARNED_TEMPLATE_TOKENS))
        if self._learn_text(size, tokens, prompts=1):
            likely = self.likely_prompt_tokens(size) - size.token_ids
            self._margin.add(math.ceil(100 * max(0, tokens - likely) / max(1, likely)))

    def learn_prompts(self, sizes: Sequence[PromptSize], prompt_tokens: float, *, sampled: bool) -> None:
        """Learn from the tokens that several prompts of text had together.

        Where `sampled`, as many other prompts like them had these tokens.
        """
        with_text = [size for size in sizes if size.text_bytes]
        whole = PromptSize(*[sum(numbers) for numbers in zip(*sizes, strict=True)])
        self._learn_text(whole, prompt_tokens - whole.token_ids, len(with_text), sampled=sampled)

    def _learn_text(self, size: PromptSize, text_tokens: float, prompts: int, *, sampled: bool = False) -> bool:
        """Learn from prompts of this size together, and return whether their text can have had so many tokens."""
        text_bytes = size.text_bytes
        most = text_bytes * MAX_TOKENS_PER_BYTE + prompts * MAX_LEARNED_TEMPLATE_TOKENS
        if not text_bytes or not text_bytes * MIN_TOKENS_PER_BYTE <= text_tokens <= most:
            return False
        features = (prompts, text_bytes - size.extra_bytes, size.extra_bytes)
        if sampled:
            self._prompt.learn_sample(features, text_tokens, prompts)
        else:
            expected = LIKELY_TEMPLATE_TOKENS * prompts + self._prior_tokens_per_byte * text_bytes
            weight = min(1.0, LARGEST_WEIGHT_TOKENS * prompts / expected) / expected
            self._prompt.learn(features, text_tokens, weight, prompts)
        return True

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

    def learn_chunks(self, chunks: int, output_tokens: int) -> None:
        """Learn from a complete stream's events that carry output, and the output tokens that the engine reported."""
        if 0 < output_tokens <= chunks * MAX_TOKENS_PER_CHUNK:
            self._tokens_per_chunk.add(output_tokens, chunks)
