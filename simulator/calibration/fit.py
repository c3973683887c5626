"""Fits the coefficients of a GPU profile to measured times: least squares, no coefficient negative.

Lives here: the fit.  Not here: the measurements (benchmark), the formula (core.speed).

The TTFT of an idle engine, for prompts of different lengths, determines a + e + overhead, b and c; the ITL of n
responses determines a, b + e and c + d.  Errors are relative to the measured time, so that short times weigh as much as
long ones.
"""

from collections.abc import Sequence as Series
from dataclasses import astuple, dataclass
from math import sqrt
from typing import NamedTuple

from simulator.core.speed import NO_CHUNKS, Chunks, LinearSpeed

UNITS = tuple(LinearSpeed(*(float(row == column) for column in range(5))) for row in range(5))
"""Speeds in which one coefficient is 1 and the others are 0: their pass times are the columns of the fit."""
NEGLIGIBLE = 1e-9
"""A column, scaled to length 1, whose part that is independent of the others is shorter than this counts as dependent
(chosen: far above the rounding errors of floats)."""

Vector = list[float]


class Prefill(NamedTuple):
    """A measured TTFT of an idle engine."""

    prompt_tokens: int
    seconds: float


class Decode(NamedTuple):
    """A measured ITL of `sequences` concurrent responses, on average `length` tokens long, their prompts included."""

    sequences: int
    length: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Fit:
    """The result of a fit."""

    speed: LinearSpeed
    overhead_s: float
    """Seconds of each request beside the engine's passes: network, HTTP, tokenizing."""
    errors: tuple[float, ...]
    """For each measurement, prefills first: predicted / measured - 1."""


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
    """Return the x >= 0 for which `rows` x is nearest to `targets`: while any is negative, the lowest is fixed at 0."""
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
    """Return the x for which `rows` x is nearest to `targets`; 0 for a column that depends on others.

    Modified Gram-Schmidt (Golub and Van Loan, section 5.2): each column is made orthogonal to those before it.
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
    """Return the columns of all passes of a prompt, summed."""
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
    """Return the measured times in the order of `Fit.errors`."""
    return [*(prefill.seconds for prefill in prefills), *(decode.seconds for decode in decodes)]


def named(speed: LinearSpeed) -> str:
    """Return the coefficients as text: `a 0.0021, b 3.2e-05, ...`."""
    return ", ".join(f"{name} {value:.3g}" for name, value in zip("abcde", astuple(speed), strict=True))
