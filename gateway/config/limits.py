"""The section `limits`: how much requests reserve.

Lives here: its keys.  Not here: those of the whole file (settings), the arithmetic (gateway.accounting.estimates).
"""

from typing import Annotated

from pydantic import Field

from gateway.config.section import NO_FLAG, Seconds, Section
from ratelimit.limits import Reserve

MOST_TOKENS = 100_000_000
"""Chosen: far above the context of any model, and far below what 32 bits hold."""

Tokens = Annotated[int, Field(ge=1, le=MOST_TOKENS), NO_FLAG]


class LimitSettings(Section):
    """The number of tokens to reserve for a request until its usage is known."""

    reserve: Reserve = "expected"
    """The amount that a request reserves, where the record of its user does not say: what it is expected to use
    (`expected`), or the most that it may use (`maximum`), so that limits of tokens and budgets are never exceeded.
    With the latter a request gets as long an answer as its limits leave, and its body says so."""
    output_tokens: Tokens = 256
    """Output tokens reserved for a request that names no maximum, until enough answers of the model have been seen."""
    named_output_tokens: Tokens = 4096
    """The most output tokens reserved for a request that names a maximum, until enough answers under such maxima have
    been seen.  A smaller value admits more at first, and lets usage exceed the limit."""
    output_quantile: Annotated[float, Field(gt=0, lt=1), NO_FLAG] = 0.9
    """The share of a user's earlier answers from a model that were no longer than what is reserved for the next one.  A
    larger value refuses earlier; a smaller one lets more answers outgrow their reservation."""
    tokens_per_byte: Annotated[float, Field(gt=0, le=1), NO_FLAG] = 0.25
    """The first estimate of prompt tokens per byte of text, until the model's own is learned.  English is near 0.25 in
    common vocabularies."""
    template_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS), NO_FLAG] = 32
    """Tokens that an engine may add to a prompt of text by its chat template, where the most that a request may use is
    reserved.  Llama 3.1 adds some 30; more is learned when an engine reports it."""
    settle_grace_s: Seconds = 2.0
    """How long after a request's end the access-log entry with its usage may arrive; then the estimate is charged."""
