"""The duration of a pass: formulas over the tokens that it computes.

Lives here: the formulas.  Not here: their coefficients for a GPU (gpus), what each pass computes (engine).
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Chunks(NamedTuple):
    """The chunks of prompts that a pass computes, summed."""

    prefills: int = 0
    """Sequences that compute a chunk."""
    new_tokens: int = 0
    context_tokens: int = 0
    """Tokens in the KV cache before each chunk."""
    attended_tokens: int = 0
    """Sum over all new tokens of the tokens that each attends to, itself included."""


NO_CHUNKS = Chunks()


class Speed(Protocol):
    """A formula for the duration of a pass."""

    def pass_s(self, decodes: int, decode_tokens: int, chunks: Chunks = NO_CHUNKS) -> float:
        """Return the seconds of a pass that computes `chunks` and one token each for `decodes` sequences.

        `decode_tokens` is the length of these sequences together, the new tokens included.
        """
        ...


@dataclass(frozen=True, slots=True)
class LinearSpeed:
    """a + b x new tokens + c x sum(new tokens x context) + d x KV tokens read + e x batch, all in seconds."""

    a: float
    """Seconds per pass: the weights are read once, kernels are launched."""
    b: float
    """Seconds per new token: the matrix products."""
    c: float
    """Seconds per pair of a new token and a token that it attends to: attention's products."""
    d: float
    """Seconds per KV token read: memory bandwidth."""
    e: float
    """Seconds per sequence in the pass: sampling, scheduling."""

    def pass_s(self, decodes: int, decode_tokens: int, chunks: Chunks = NO_CHUNKS) -> float:
        """See `Speed.pass_s`."""
        prefills, new_tokens, context_tokens, attended_tokens = chunks
        return (
            self.a
            + self.b * (decodes + new_tokens)
            + self.c * (decode_tokens + attended_tokens)
            + self.d * (decode_tokens + context_tokens)
            + self.e * (decodes + prefills)
        )


@dataclass(frozen=True, slots=True)
class FittedSpeed:
    """Two polynomials, in milliseconds, the highest power first; a pass that prefills and decodes takes their sum.

    `prefill` is a polynomial of the new prompt tokens of the pass; `decode` of the share of `kv_tokens` that decoding
    sequences fill, without those whose prefill ends in this pass.
    """

    prefill: tuple[float, float, float]
    decode: tuple[float, float, float]
    kv_tokens: int

    def pass_s(self, decodes: int, decode_tokens: int, chunks: Chunks = NO_CHUNKS) -> float:
        """See `Speed.pass_s`."""
        spent_ms = 0.0
        if decodes:
            share = decode_tokens / self.kv_tokens
            square, linear, constant = self.decode
            spent_ms += (square * share + linear) * share + constant
        if chunks.prefills:
            square, linear, constant = self.prefill
            spent_ms += (square * chunks.new_tokens + linear) * chunks.new_tokens + constant
        return spent_ms / 1000


@dataclass(frozen=True, slots=True)
class ScaledSpeed:
    """The speed `base`, multiplied by `factor`."""

    base: Speed
    factor: float

    def pass_s(self, decodes: int, decode_tokens: int, chunks: Chunks = NO_CHUNKS) -> float:
        """See `Speed.pass_s`."""
        return self.base.pass_s(decodes, decode_tokens, chunks) / self.factor


def steady(tokens_per_s: float) -> Speed:
    """Return a speed at which every pass takes the same time, whatever it computes."""
    return LinearSpeed(a=1 / tokens_per_s, b=0.0, c=0.0, d=0.0, e=0.0)
