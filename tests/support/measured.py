"""Measured points that a test states, or that the chunked model predicts exactly."""

from dataclasses import replace
from math import isfinite

from optimizer.profiles.capacity import Fit, latencies
from optimizer.profiling.points import Load, Measured, Point

ENGINE = Fit(0.02, 0.0003, 0.01, 0.0002, 64, epsilon_s=2e-7, kv_tokens=200_000.0, is_chunked=True)


def a_point(
    load: Load, ttft: float = 0.1, tpot: float = 0.02, tput: float | None = None, *, stderr: float | None = None,
    arrived: float | None = None,
) -> Point:  # fmt: skip
    rate = load.rate if tput is None else tput
    e2e = ttft + tpot * (load.output_tokens - 1)
    means = {"E2E": e2e, "TTFT": ttft, "TPOT": tpot}
    metrics = {
        name: {"mean": value, "P50": value, "P90": 2 * value, "P99": 3 * value}
        | ({} if stderr is None else {"stderr": stderr * value})
        for name, value in means.items()
    }
    return Point(load, {"TPUT": {"mean": rate}, "TT": {"mean": rate * load.output_tokens}, **metrics}, arrived)


def predicted(load: Load, fit: Fit = ENGINE) -> Point:
    """The point of a load on an engine that is as the model says; of a closed loop at the rate that fills it."""
    rate = load.rate if load.concurrency is None else _rate_of(load, fit, load.concurrency)
    found = latencies(fit, load.input_tokens, load.output_tokens, rate)
    if not isfinite(found.ttft_s):
        return a_point(load, ttft=99.0, tput=0.5 * rate)
    return a_point(replace(load, rate=rate), found.ttft_s, found.itl_s, rate)


def _rate_of(load: Load, fit: Fit, concurrency: int) -> float:
    """The rate at which so many requests run on average."""
    low, high = 1e-6, 1e4
    while high > 1.001 * low:
        middle = (low * high) ** 0.5
        found = latencies(fit, load.input_tokens, load.output_tokens, middle)
        low, high = (middle, high) if found.running < concurrency else (low, middle)
    return low


def a_grid(inputs=(16, 256, 1024), outputs=(16, 64), rates=(0.25, 0.5, 1.0)) -> Measured:
    loads = [Load(into, out, rate) for into in inputs for out in outputs for rate in rates]
    return Measured(tuple(predicted(load) for load in loads), {"max_running": 64, "kv_tokens": 200_000})
