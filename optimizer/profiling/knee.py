"""The search for the knee: the highest rate inside an SLO for requests of given lengths, in six to eight runs.

Two runs with 1 and with MANY requests always under way say how latencies grow with their number, and so about where
the knee is; runs around that bracket it, and bisection narrows the bracket.  A rate that does not keep the SLO, or at
which a backlog grows, is above the knee.

Lives here: the loads to measure, one after the other.  Not here: measuring them (forebay.profiling), the choice among
what was measured (making).
"""

from collections.abc import Generator
from math import sqrt

from optimizer.profiling.points import Load, Point
from optimizer.profiling.targets import Targets

Search = Generator[Load, Point, None]

MANY = 16
MOST = 1024
"""Requests under way that a guess extrapolates to at most."""
SHADED = 0.9
"""Part of the guessed rate that is tried first: arrivals at random wait longer than ones that never pile up."""
STEP = 1.25
"""The factor of the first step that brackets the knee; each further one is squared."""
PRECISION = 0.05
"""The bracket's relative width at the end."""
LEAST_SHARE = 0.02
"""The knee is looked for down to this part of the rate of one request after the other; below, nothing is served."""


def search(input_tokens: int, output_tokens: int, targets: Targets, precision: float = PRECISION) -> Search:
    """Yield each load to measure and take its point; loads of one cell, until the knee is known to `precision`."""
    one = yield Load(input_tokens, output_tokens, concurrency=1)
    if not targets.are_latencies_kept(one):
        return
    many = yield Load(input_tokens, output_tokens, concurrency=MANY)
    least = LEAST_SHARE * one.mean("TPUT")
    rate, step = max(least, SHADED * _guess(one, many, targets)), STEP
    low = high = 0.0  # 0 = not known yet
    while not (low and high) or high > low * (1 + precision):
        point = yield Load(input_tokens, output_tokens, rate)
        is_kept = targets.are_latencies_kept(point) and not point.is_backlogged
        if not is_kept and rate <= least:
            return
        low, high = (rate, high) if is_kept else (low, rate)
        if low and high:
            rate = sqrt(low * high)
        else:
            rate, step = (rate * step if low else max(least, rate / step)), step**2


def _guess(one: Point, many: Point, targets: Targets) -> float:
    """Return the rate of the most requests under way that keep the targets, if latencies grow linearly."""
    n = float(MOST)
    for name in targets.latencies():
        first, last = targets.latency(one, name), targets.latency(many, name)
        if last > first:
            n = min(n, 1 + (MANY - 1) * (getattr(targets, name) - first) / (last - first))
    first_s, last_s = one.mean("E2E"), many.mean("E2E")
    return n / (first_s + (last_s - first_s) * (n - 1) / (MANY - 1))
