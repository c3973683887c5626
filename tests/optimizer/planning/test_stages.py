"""Sentences for operators."""

from optimizer.planning.cases import grid_of
from optimizer.planning.demand import Demand
from optimizer.planning.fleet import fleet_of
from optimizer.planning.hearing import Heard
from optimizer.planning.stages import SHOWN, stages_of, traces_of, unserved_of
from optimizer.solver.case import Case, GpuType
from optimizer.solver.plan import make_plan
from traffic.window import Window

DEMAND = Demand(8.0, {(10 * octave, 60): 1 / 8 for octave in range(8)}, backlog_rate=0.5)
GRID = grid_of(DEMAND)
RATES = tuple(bucket.rate for bucket in GRID.buckets)


def test_each_stage_says_how_it_is():
    case = Case((GpuType("ns/a", 2.0, (1.0,) * 8),), RATES)

    stages = stages_of("fine", fleet_of([], {}, {}, None), DEMAND, ("waits",), (case, make_plan(case)))

    assert {
        "traces": "fine",
        "profiles": "0 of 0 deployments",
        "replicas": "",
        "demand": "8 req/s (0.5 of them drain a backlog)",
        "coverage": "100.00%",
        "plan": "cost 16 per hour, gap 0, by highs",
        "held": "waits",
    } == stages


def test_without_a_plan_its_stages_are_left_out():
    stages = stages_of("none", fleet_of([], {}, {}, None), DEMAND, ())

    assert (["traces", "profiles", "replicas", "demand", "held"], "nothing") == (list(stages), stages["held"])


def test_traces_have_an_age():
    heard = Heard()
    assert "none" == traces_of(heard, 0.0)
    heard.take(Window(10.0, 0, starts_at_s=100.0))

    assert "the last window ended 4 s ago, writers: 1, no requests for 10 s" == traces_of(heard, 114.0)


def test_buckets_that_nobody_serves_are_named_and_many_are_counted():
    case = Case((GpuType("ns/a", 2.0, (1.0,) + (0.0,) * 7, highest=0),), RATES)

    lines = list(unserved_of(case, make_plan(case), GRID))

    assert SHOWN + 1 == len(lines)
    assert "unserved: 1 req/s of about 128 input, 64 output tokens: no deployment serves them inside the SLO" in lines
    assert "unserved: 3 req/s of 3 more buckets" == lines[-1]


def test_a_bound_that_leaves_requests_out_is_told_from_what_nobody_serves():
    case = Case((GpuType("ns/a", 2.0, (1.0,) + (0.0,) * 7, highest=1),), (2.0,) + (0.0,) * 7)

    assert ["unserved: 1 req/s of about 1 input, 64 output tokens: bounds leave them out"] == list(
        unserved_of(case, make_plan(case), GRID)
    )
