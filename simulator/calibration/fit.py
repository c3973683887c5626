"""The coefficients of a GPU profile that explain measured times: least squares, none of them negative.

Lives here: the fit.  Not here: the measurements (benchmark), the formula (core.speed).

An idle engine's time to first token tells a + e + overhead, b and c from prompts of different lengths; the gap between
tokens of n answers tells a, b + e and c + d.  Errors count as shares of what was measured, so that short times weigh as
much as long ones.
"""

from collections.abc import Sequence as Series
from dataclasses import astuple, dataclass
from math import sqrt
from typing import NamedTuple

from simulator.core.speed import NO_CHUNKS, Chunks, LinearSpeed

UNITS = tuple(LinearSpeed(*(float(row == column) for column in range(5))) for row in range(5))
"""Speeds in which one coefficient is 1: their pass times are the columns of the fit."""
NEGLIGIBLE = 1e-9
"""A column, scaled to length 1, that the others explain but for this share says nothing of its own."""

Vector = list[float]


class Prefill(NamedTuple):
    """An idle engine's first token."""

    prompt_tokens: int
    seconds: float


class Decode(NamedTuple):
    """The time between tokens while `sequences` answers are made, `length` tokens long on average, prompt included."""

    sequences: int
    length: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Fit:
    """What was found."""

    speed: LinearSpeed
    overhead_s: float
    """Of each request, beside the engine's passes: network, HTTP, tokenizing."""
    errors: tuple[float, ...]
    """Of each measurement, prefills first: predicted / measured - 1."""


def fit(prefills: Series[Prefill], decodes: Series[Decode], pass_tokens: int) -> Fit:
    """Return the best fit.  Raises ValueError when there are fewer measurements than coefficients."""
    rows = [[*_prompt_columns(prefill.prompt_tokens, pass_tokens), 1.0] for prefill in prefills]
    rows += [[*_columns(decode.sequences, round(decode.sequences * decode.length)), 0.0] for decode in decodes]
    measured = seconds_of(prefills, decodes)
    if len(rows) <= len(UNITS):
        raise ValueError(f"{len(rows)} measurements, must be more than {len(UNITS)}")
    shares = [[value / seconds for value in row] for row, seconds in zip(rows, measured, strict=True)]
    *coefficients, overhead_s = not_negative_least_squares(shares, [1.0] * len(rows))
    errors = tuple(sum(c * v for c, v in zip((*coefficients, overhead_s), row, strict=True)) - 1 for row in shares)
    return Fit(LinearSpeed(*coefficients), overhead_s, errors)


def not_negative_least_squares(rows: Series[Vector], targets: Vector) -> Vector:
    """Return the x >= 0 that makes `rows` x nearest to `targets`: the most negative is set to 0 until none is."""
    used = list(range(len(rows[0])))
    while used:
        found = least_squares([[row[column] for column in used] for row in rows], targets)
        lowest = min(range(len(used)), key=found.__getitem__)
        if found[lowest] >= 0:
            break
        del used[lowest]
    else:
        found = []
    solution = dict(zip(used, found, strict=True))
    return [solution.get(column, 0.0) for column in range(len(rows[0]))]


def least_squares(rows: Series[Vector], targets: Vector) -> Vector:
    """Return the x that makes `rows` x nearest to `targets`; 0 for a column that is explained by others.

    Gram-Schmidt, modified (Golub and Van Loan, section 5.2): columns one after the other, each freed of those before.
    """
    columns = [list(column) for column in zip(*rows, strict=True)]
    scales = [_length(column) or 1.0 for column in columns]
    base: list[tuple[int, Vector]] = []  # column's number, direction of length 1
    upper: dict[int, dict[int, float]] = {}  # column -> shares of the directions before it, and its own length
    for number, column in enumerate(columns):
        rest, shares = [value / scales[number] for value in column], {}
        for other, direction in base:
            shares[other] = _dot(direction, rest)
            rest = [value - shares[other] * part for value, part in zip(rest, direction, strict=True)]
        length = _length(rest)
        if length > NEGLIGIBLE:
            base.append((number, [value / length for value in rest]))
            upper[number] = {**shares, number: length}
    solution = [0.0] * len(columns)
    for number, direction in reversed(base):
        above = sum(upper[later].get(number, 0.0) * solution[later] for later, _ in base if later > number)
        solution[number] = (_dot(direction, targets) - above) / upper[number][number]
    return [value / scale for value, scale in zip(solution, scales, strict=True)]


def _prompt_columns(prompt_tokens: int, pass_tokens: int) -> Vector:
    """Of all passes that a prompt takes."""
    total = [0.0] * len(UNITS)
    for start in range(0, prompt_tokens, pass_tokens):
        part = min(pass_tokens, prompt_tokens - start)
        chunk = Chunks(1, part, start, part * start + part * (part + 1) // 2)
        total = [sum(pair) for pair in zip(total, _columns(0, 0, chunk), strict=True)]
    return total


def _columns(decodes: int, decode_tokens: int, chunks: Chunks = NO_CHUNKS) -> Vector:
    return [unit.pass_s(decodes, decode_tokens, chunks) for unit in UNITS]


def _dot(one: Vector, other: Vector) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _length(vector: Vector) -> float:
    return sqrt(_dot(vector, vector))


def seconds_of(prefills: Series[Prefill], decodes: Series[Decode]) -> Vector:
    """What was measured, in the order of `Fit.errors`."""
    return [*(prefill.seconds for prefill in prefills), *(decode.seconds for decode in decodes)]


def named(speed: LinearSpeed) -> str:
    """`a 0.0021, b 3.2e-05, ...`."""
    return ", ".join(f"{name} {value:.3g}" for name, value in zip("abcde", astuple(speed), strict=True))
