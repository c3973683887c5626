"""Prompts that even an idle pod answers later than promised are served at moderate load."""

import random

import pytest

from forebay.simulation.comparison import Comparer, Options
from simulator.replay.summary import Slo
from tests.support.fleet_replay import MOONCAKE

LONG_PROMPTS = 5


def with_long_prompts(comparer: Comparer) -> Comparer:
    """Mix prompts of 60,000 to 130,000 tokens into the trace; on the published fit their prefill takes 2 to 9 s."""
    rng = random.Random(5)
    trace = list(comparer._trace)
    for _ in range(LONG_PROMPTS):
        sample = rng.choice(trace)
        trace.append(sample._replace(input_length=rng.randint(60_000, 130_000), hash_ids=()))
    comparer._trace = sorted(trace, key=lambda request: request.timestamp)
    return comparer


@pytest.mark.parametrize("speedup", [1, 4])
def test_nothing_is_refused(speedup: int) -> None:
    options = Options(
        MOONCAKE, 8, "published-fit", ["forebay"], [speedup],
        users="", seed=0, slo=Slo(), assignments=None, report=None,
    )  # fmt: skip
    (summary,) = with_long_prompts(Comparer(options)).compare().summaries

    assert {} == dict(summary.refused)
    assert summary.served == summary.requests
