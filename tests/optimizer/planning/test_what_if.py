"""From requests and profiles to a case."""

from dataclasses import replace

import pytest

from optimizer.input.reading import InputError
from optimizer.planning.cases import MARGIN, Bucket
from optimizer.planning.demand import Demand
from optimizer.planning.what_if import Request, faster, peak_demand, question, windows_of
from optimizer.profiles.capacity import Fit, Slo
from optimizer.profiles.profile import Profile
from optimizer.solver.plan import make_plan
from traffic.window import Window, index_of

MEASURED = Profile("a", 1.0, (16, 64), (128, 512), ((40.0, 20.0), (20.0, 10.0)), Slo(e2e_s=5.0))
FITTED = Profile(
    "b", 2.0, (16, 64), (128, 512), ((40.0, 20.0), (20.0, 10.0)), Slo(ttft_s=1.0),
    Fit(0.007, 0.00003, 0.015, 0.00003, 64), 4096.0,
)  # fmt: skip


def test_lengths_are_filed_as_gateways_do():
    assert [0, 0, 10, 81, 100] == [index_of(tokens) for tokens in (0, 1, 2, 274, 1024)]


def test_windows_follow_each_other_without_gaps():
    requests = [Request(at_s, 1024, 2) for at_s in (0.0, 9.9, 10.0, 35.0)]

    assert [
        Window(10.0, 2, {(100, 10): 2}),
        Window(10.0, 1, {(100, 10): 1}),
        Window(10.0, 0),
        Window(10.0, 1, {(100, 10): 1}),
    ] == list(windows_of(requests))
    assert [] == list(windows_of([]))


def test_the_busiest_time_counts():
    windows = [Window(10.0, n, {(70, 60): n}) for n in (10, 50, 10, 10)]

    assert (5.0, {(70, 60): 1.0}) == (peak_demand(windows).rate, peak_demand(windows).shares)
    assert Demand(0.0, {}) == peak_demand([])


def test_requests_may_arrive_faster_and_begin_at_zero():
    assert [0.0, 5.0] == [request.at_s for request in faster([Request(30.0, 1, 1), Request(20.0, 1, 1)], speedup=2.0)]


def test_throughputs_have_a_margin_and_notes_say_what_is_not_known():
    asked = question([Bucket(128.0, 16.0, 3.0), Bucket(4096.0, 16.0, 0.1)], [MEASURED])

    assert (pytest.approx(40.0 / MARGIN), pytest.approx(20.0 / 8 / MARGIN)) == asked.case.types[0].throughput
    assert (
        "a: extrapolated beyond what was measured: buckets [1]",
        "a: has no fit: throughputs are divided by 1.5, its SLO is not checked",
    ) == asked.notes


def test_with_a_fit_the_slo_holds_at_the_delays_of_the_margin():
    slo = Slo(ttft_s=0.5, itl_s=0.02)
    asked = question([Bucket(128.0, 64.0, 200.0), Bucket(4096.0, 64.0, 1.0)], [FITTED], slo)
    plan = make_plan(asked.case)

    assert 0.0 == asked.case.types[0].throughput[1], "4,160 tokens are more than the model takes"
    assert ((0.0, 1.0), ()) == (plan.unserved, plan.problems)
    alone = question([Bucket(128.0, 64.0, 200.0)], [FITTED], slo, margin=1.0)
    assert asked.case.types[0].throughput[0] <= alone.case.types[0].throughput[0] / MARGIN


def test_other_targets_than_measured_need_a_fit():
    with pytest.raises(InputError) as caught:
        question([Bucket(128.0, 16.0, 3.0)], [MEASURED, FITTED, replace(MEASURED, deployment="c")], Slo(ttft_s=1.0))
    assert [f"{name}: measured for e2e <= 5 s, has no fit to plan for others" for name in "ac"] == [
        *caught.value.problems
    ]
    assert question([Bucket(128.0, 16.0, 3.0)], [MEASURED], Slo(e2e_s=5.0)).case.types


def test_repairs_of_a_profile_are_noted():
    profile = Profile("a", 1.0, (16,), (128,), ((40.0,),), Slo(), repaired=("a cell",))

    assert ("a: repaired: a cell",) == question([Bucket(128.0, 16.0, 3.0)], [profile], margin=1.0).notes


def test_an_slo_that_was_measured_needs_no_fit():
    profile = replace(MEASURED, classes=((Slo(ttft_s=1.0), ((20.0, 10.0), (10.0, 5.0))),))

    asked = question([Bucket(128, 16, 1.0)], [profile], Slo(ttft_s=1.0), margin=1.0)

    assert 20.0 == pytest.approx(asked.case.types[0].throughput[0])
