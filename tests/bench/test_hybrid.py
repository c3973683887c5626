"""The comparison of policies for a cloud, on a trace of a few requests."""

import pytest

from autoscaling.observation import Observation
from bench import hybrid
from bench.hybrid import CLOUD, OWN, SLO, Oracle, loads, measure, scenario_of, wave
from forebay.simulation.autoscale_report import paid_hours
from simulator.replay.traces import TraceRequest

TRACE = [TraceRequest(second * 1000.0, 600, 20, (second,)) for second in range(10)]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hybrid, "WAVE_S", 60.0)


def test_a_wave_begins_and_ends_at_the_traces_own_speed_and_repeats_no_prompt() -> None:
    requests = wave(TRACE, 5.0)
    times_s = [request.timestamp / 1000 for request in requests]

    assert [1, 5, 1] == pytest.approx([sum(a <= at < a + 6 for at in times_s) / 6 for a in (0, 27, 54)], abs=0.9)
    assert times_s == sorted(times_s)
    assert 60 > times_s[-1]
    assert len(requests) == len({request.hash_ids for request in requests})


def test_the_oracle_orders_before_the_load_is_there_and_lets_go_after_it() -> None:
    oracle = Oracle([4.0] * 8 + [6.5] + [4.0] * 20, margin=1.0)

    wanted = {at_s: oracle.decide(Observation(now_s=at_s, ready=OWN)).desired for at_s in (0, 30, 60, 240, 270)}

    assert {0: 4, 30: 7, 60: 7, 240: 7, 270: 4} == wanted
    assert OWN + CLOUD == Oracle([100.0], margin=1.0).decide(Observation(now_s=0, ready=OWN)).desired


def test_every_policy_is_measured_on_the_same_requests() -> None:
    runs = {run.name: run for run in measure(TRACE, 2.0)}
    hours = {name: paid_hours(run, hybrid.WAVE_S) for name, run in runs.items()}

    assert {len(scenario_of(TRACE, 2.0).trace)} == {run.summary.requests for run in runs.values()}
    assert 0.0 == hours["own only"] == hours["oracle"]
    assert hours["own + 4 cloud, always"] == hours["spread evenly, always"] == pytest.approx(CLOUD * 60 / 3600)
    assert hours["all cloud, always"] == pytest.approx((OWN + CLOUD) * 60 / 3600)
    assert 1.0 == runs["own only"].attainment
    assert SLO == scenario_of(TRACE, 2.0).slo
    assert sum(loads(scenario_of(TRACE, 2.0), 600.0)) > 0
