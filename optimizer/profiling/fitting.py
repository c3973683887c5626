"""The chunked model (profiles.capacity) fitted to measured points, and how well it and its neighbours predict them.

`gamma` and `delta` come from TTFT where one request runs at a time, `alpha`, `beta` and `epsilon` from the time between
tokens; errors are relative, so that fast points weigh as much as slow ones, and no parameter is negative.

Lives here: which points tell which parameter, and the measures of the fit.  Not here: least squares (a parameter).
"""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite, log
from statistics import median
from typing import Any

from optimizer.profiles.capacity import Fit, latencies
from optimizer.profiling.points import Measured, Point

Solve = Callable[[Sequence[list[float]], list[float]], list[float]]
"""Return the x >= 0 for which the rows times x are nearest to the targets."""

LEAST_OUTPUTS = 8
"""Shorter outputs say little of the time between tokens."""
MOST_BUSY = 0.8
"""Points where prompts take more of the time are left out: small errors of `delta` would be large ones of the rest."""
LEAST_S = 1e-4
"""A TTFT or time between tokens below this was not measured: the engine did not stream."""
HELD_OUT = 5
"""One in so many points is predicted from the others (`verified`)."""


def fitted(measured: Measured, solve: Solve) -> Fit | None:
    """Return the fit; None when the points do not tell all parameters: too few, or the engine does not stream."""
    points = [point for point in measured.points if not point.is_backlogged]
    alone = [cell[0] for cell in Measured(tuple(points)).cells().values() if cell[0].mean("TTFT") >= LEAST_S]
    if len({point.load.input_tokens for point in alone}) < len(("gamma", "delta")):
        return None
    rows = [[1 / point.mean("TTFT"), point.load.input_tokens / point.mean("TTFT")] for point in alone]
    gamma_s, delta_s = solve(rows, [1.0] * len(rows))
    rows = [_decode_row(point, delta_s) for point in points if _tells_decoding(point, delta_s)]
    if len(rows) < len(("alpha", "beta", "epsilon")) or not gamma_s + delta_s:
        return None
    alpha_s, beta_s, epsilon_s = solve(rows, [1.0] * len(rows))
    most = measured.about.get("max_running") or max(1, round(max(_running(point) for point in points)))
    tokens = measured.about.get("kv_tokens")
    return Fit(alpha_s, beta_s, gamma_s, delta_s, most, None, epsilon_s, tokens, is_chunked=True)


def _running(point: Point) -> float:
    """Return how many requests were in the engine on average (Little)."""
    return point.mean("TPUT") * point.mean("E2E")


def _busy(point: Point, delta_s: float) -> float:
    return point.mean("TPUT") * delta_s * point.load.input_tokens


def _tells_decoding(point: Point, delta_s: float) -> bool:
    is_streamed = point.mean("TPOT") >= LEAST_S
    return is_streamed and point.load.output_tokens >= LEAST_OUTPUTS and _busy(point, delta_s) <= MOST_BUSY


def _decode_row(point: Point, delta_s: float) -> list[float]:
    iteration_s = point.mean("TPOT") * (1 - _busy(point, delta_s))
    n, context = _running(point), point.load.input_tokens + point.load.output_tokens / 2
    return [1 / iteration_s, n / iteration_s, n * context / iteration_s]


def fit_page(fit: Fit, measured: Measured) -> dict[str, Any]:
    """Return `fit` of a profile, in milliseconds."""
    page: dict[str, Any] = {
        "model": "chunked", "alpha": fit.alpha_s * 1000, "beta": fit.beta_s * 1000, "gamma": fit.gamma_s * 1000,
        "delta": fit.delta_s * 1000, "epsilon": fit.epsilon_s * 1000, "max_batch": fit.max_batch,
        "r2": determination(fit, measured),
    }  # fmt: skip
    return page if fit.kv_tokens is None else page | {"kv_tokens": fit.kv_tokens}


def _pairs(fit: Fit, points: Sequence[Point]) -> list[tuple[float, float]]:
    """Return the measured and the predicted E2E of points at which the model is stable."""
    pairs = []
    for point in points:
        load = point.load
        found = latencies(fit, load.input_tokens, load.output_tokens, point.mean("TPUT"))
        if isfinite(found.ttft_s) and not point.is_backlogged:
            pairs.append((point.mean("E2E"), found.e2e_s(load.output_tokens)))
    return pairs


def determination(fit: Fit, measured: Measured) -> float:
    """Return R squared of the logarithm of E2E: the part of its variance that the fit explains."""
    logs = [(log(real), log(predicted)) for real, predicted in _pairs(fit, measured.points)]
    mean = sum(real for real, _ in logs) / max(1, len(logs))
    spread = sum((real - mean) ** 2 for real, _ in logs)
    return 1 - sum((real - predicted) ** 2 for real, predicted in logs) / spread if spread else 0.0


def verified(measured: Measured, solve: Solve) -> Mapping[str, float] | None:
    """Return the errors of predicting each fifth point's E2E from the others; None where those give no fit."""
    points = sorted(
        measured.points, key=lambda point: (point.load.output_tokens, point.load.input_tokens, point.load.rate)
    )
    held = points[HELD_OUT // 2 :: HELD_OUT]
    others = Measured(tuple(point for point in points if point not in held), measured.about)
    fit = fitted(others, solve)
    pairs = _pairs(fit, held) if fit else []
    if not pairs:
        return None
    errors = [abs(predicted / real - 1) for real, predicted in pairs]
    return {"points": len(errors), "median": median(errors), "largest": max(errors)}
