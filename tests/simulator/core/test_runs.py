"""Runs of passes: the same as pass after pass, in fewer calls."""

import math
from collections.abc import Sequence as Series
from dataclasses import astuple

from hypothesis import example, given
from hypothesis import strategies as st

from simulator.core.engine import Engine
from simulator.core.sequence import Sequence
from simulator.core.speed import LinearSpeed
from tests.support.model_engine import a_sequence, an_engine

SPEED = LinearSpeed(a=1.0, b=0.013, c=0.0, d=0.0007, e=0.0)
Arrival = tuple[float, int, int]
"""Time, prompt and output in tokens."""


def driven(arrivals: Series[Arrival], *, runs_on: bool, kv_blocks: int) -> tuple[Engine, list[Sequence], int]:
    """The engine after all arrivals, their sequences, and how many calls that took."""
    engine, calls, now_s = an_engine(speed=SPEED, kv_blocks=kv_blocks), 0, 0.0
    waiting = [(at_s, a_sequence(prompt, output, range(n * 99, n * 99 + 9)))
               for n, (at_s, prompt, output) in enumerate(sorted(arrivals))]  # fmt: skip
    sequences = [sequence for _, sequence in waiting]
    while True:
        while waiting and waiting[0][0] <= now_s:
            at_s, sequence = waiting.pop(0)
            engine.add(sequence, at_s)
        until_s = waiting[0][0] if waiting else math.inf
        run = engine.run(now_s, until_s if runs_on else now_s)
        calls += 1
        if run is None and not waiting:
            return engine, sequences, calls
        now_s = until_s if run is None else run[0]


@given(
    st.lists(st.tuples(st.floats(0, 90), st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=12),
    st.sampled_from([20, 25, 100]),
)
@example([(0.0, 40, 40), (0.0, 38, 40), (1.0, 1, 40)], 20)  # the cache is too small for all, so that some are preempted
@example([(0.0, 8, 9)] * 7, 100)  # more than the batch has place for
def test_a_run_is_the_same_as_pass_after_pass(arrivals: Series[Arrival], kv_blocks: int):
    stepped, expected, _ = driven(arrivals, runs_on=False, kv_blocks=kv_blocks)
    engine, sequences, _ = driven(arrivals, runs_on=True, kv_blocks=kv_blocks)

    assert [astuple(each) for each in expected] == [astuple(each) for each in sequences]
    assert stepped.totals == engine.totals
    assert stepped.blocks.free == engine.blocks.free == kv_blocks


def test_a_run_ends_before_the_pass_that_ends_a_sequence():
    _, (sequence,), calls = driven([(0.0, 8, 30)], runs_on=True, kv_blocks=100)

    assert sequence.ended_s is not None
    assert 3 == calls  # a run, the last pass, and one that finds nothing to do


def test_a_run_stops_where_it_may_be_disturbed():
    engine = an_engine()
    engine.add(a_sequence(prompt=8, output=30), 0.0)
    run = engine.run(0.0, 6.5)

    assert run is not None
    assert (7.0, 7) == (run[0], engine.totals.output_tokens)
