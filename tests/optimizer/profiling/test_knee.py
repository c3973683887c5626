"""The search for the knee, on an engine that is exactly as a model says: few runs, 5 %, from both sides."""

import pytest

from optimizer.profiles.capacity import Slo, capacity
from optimizer.profiling.knee import LEAST_SHARE, search
from optimizer.profiling.points import Load
from optimizer.profiling.targets import Targets
from tests.support.measured import ENGINE, a_point, predicted

TARGETS = Targets(ttft=2.0, itl=0.05)


def runs(into: int, out: int, knee: float | None = None) -> list[tuple[Load, bool]]:
    """The loads that are measured, and whether each is inside; with a `knee` the SLO breaks above that rate."""
    found = []
    pending = search(into, out, TARGETS)
    load = next(pending)
    while True:
        if knee is None or load.concurrency:
            point = predicted(load)
        else:
            point = a_point(load, ttft=0.1 if load.rate <= knee else 3.0)
        found.append((load, TARGETS.are_latencies_kept(point)))
        try:
            load = pending.send(point)
        except StopIteration:
            return found


@pytest.mark.parametrize(("into", "out"), [(16, 16), (16, 256), (256, 64), (1024, 16), (1024, 256)])
def test_the_knee_is_found_within_5_percent_in_few_runs(into: int, out: int):
    found = runs(into, out)
    inside = max(load.rate for load, is_kept in found if is_kept and not load.concurrency)
    outside = min(load.rate for load, is_kept in found if not is_kept and not load.concurrency)

    assert inside <= capacity(ENGINE, into, out, Slo(2.0, 0.05)) <= outside <= 1.05 * inside
    assert len(found) <= 9


@pytest.mark.parametrize("factor", [0.01, 0.3, 1.0, 3.0, 30.0])
def test_a_bad_guess_only_costs_runs(factor: float):
    guess = next(load.rate for load, _ in runs(256, 64, 1.0) if not load.concurrency)
    found = runs(256, 64, guess * factor)
    inside = max((load.rate for load, is_kept in found if is_kept and not load.concurrency), default=0.0)

    assert inside <= guess * factor < 1.05 * inside
    assert len(found) < 16


def test_lengths_that_break_the_slo_alone_take_one_run():
    assert [(Load(16_000, 16, concurrency=1), False)] == runs(16_000, 16)


def test_a_rate_of_next_to_nothing_is_none():
    found = runs(256, 64, 0.0)

    assert not any(is_kept for load, is_kept in found if not load.concurrency)
    alone = predicted(Load(256, 64, concurrency=1)).mean("TPUT")
    assert pytest.approx(LEAST_SHARE * alone) == min(load.rate for load, _ in found if not load.concurrency)
