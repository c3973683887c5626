"""How long a pass takes: formulas over what is computed in it.

Lives here: the formulas.  Not here: their coefficients for a GPU (gpus), what is computed in which pass (engine).
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Chunks(NamedTuple):
    """The prompt parts of a pass, summed."""

    parts: int = 0
    new_tokens: int = 0
    context_tokens: int = 0
    """Tokens in the KV cache that lie before each part."""
    attended_tokens: int = 0
    """Over all new tokens: how many tokens each looks at, itself included."""


NO_CHUNKS = Chunks()


class Speed(Protocol):
    """The time of a pass."""

    def pass_s(self, decodes: int, decode_tokens: int, chunks: Chunks = NO_CHUNKS) -> float:
        """Seconds for one new token each of `decodes` sequences, `decode_tokens` long together, and `chunks`."""
        ...


@dataclass(frozen=True, slots=True)
class LinearSpeed:
    """a + b x new tokens + c x sum(new tokens x context) + d x KV tokens read + e x batch, all in seconds."""

    a: float
    """Every pass: the weights are read once, kernels are launched."""
    b: float
    """Per new token: the matrix products."""
    c: float
    """Per new token and token it looks at: attention's products."""
    d: float
    """Per KV token read: memory bandwidth."""
    e: float
    """Per sequence in the pass: sampling, scheduling."""

    def pass_s(self, decodes: int, decode_tokens: int, chunks: Chunks = NO_CHUNKS) -> float:
        """See `Speed.pass_s`."""
        parts, new_tokens, context_tokens, attended_tokens = chunks
        return (
            self.a
            + self.b * (decodes + new_tokens)
            + self.c * (decode_tokens + attended_tokens)
            + self.d * (decode_tokens + context_tokens)
            + self.e * (decodes + parts)
        )


@dataclass(frozen=True, slots=True)
class FittedSpeed:
    """Two polynomials, highest power first, in milliseconds; a pass with both kinds of work takes their sum.

    `prefill` is one of the new prompt tokens of the pass; `decode` of the share of `kv_tokens` that the decoding
    sequences fill, without those whose prompt ends in this pass.
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
        if chunks.parts:
            square, linear, constant = self.prefill
            spent_ms += (square * chunks.new_tokens + linear) * chunks.new_tokens + constant
        return spent_ms / 1000


@dataclass(frozen=True, slots=True)
class ScaledSpeed:
    """Another speed, `factor` times as fast."""

    base: Speed
    factor: float

    def pass_s(self, decodes: int, decode_tokens: int, chunks: Chunks = NO_CHUNKS) -> float:
        """See `Speed.pass_s`."""
        return self.base.pass_s(decodes, decode_tokens, chunks) / self.factor


def steady(tokens_per_s: float) -> Speed:
    """Return a speed at which every pass takes as long, whatever it computes."""
    return LinearSpeed(a=1 / tokens_per_s, b=0.0, c=0.0, d=0.0, e=0.0)
