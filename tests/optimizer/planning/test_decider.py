"""Decisions: up at once, down late, nothing on what is not known."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.planning.decider import Decider, Policy
from optimizer.profiles.capacity import Fit, Slo
from tests.support.deciding import EXACT, IDLE_WINDOWS, LONG, SHORT, Loop, a_deployment, a_profile, one, two


def test_replicas_follow_load_up_at_once():
    loop = one(replicas=1)

    assert [(4,), (10,)] == [loop.step(40.0), loop.step(100.0)]


def test_replicas_follow_load_down_when_three_plans_agree():
    loop = one()
    loop.step(100.0)
    for _ in range(300):
        loop.hear(20.0)

    counts = [loop.step(20.0) for _ in range(3)]

    assert [(10,), (10,), (3,)] == counts, "the average is still a little above 20"


def test_a_start_without_traces_keeps_what_runs_but_at_least_the_minimum_and_says_so():
    decisions = [one(replicas=3, min_replicas=minimum).decide() for minimum in (1, 4)]

    assert [3, 4] == [decision.replicas["default/small"] for decision in decisions]
    assert (None, "none") == (decisions[0].hint, decisions[0].stages["traces"])
    assert decisions[0].held[0].startswith("what runs is kept: no traces")


def test_a_start_goes_on_from_what_runs():
    loop = one(replicas=9)

    assert [(9,), (9,), (2,)] == [loop.step(15.0) for _ in range(3)]


@pytest.mark.parametrize("minimum", [0, 1, 3])
def test_without_load_there_is_exactly_the_minimum(minimum: int):
    loop = one(min_replicas=minimum)
    assert (4,) == loop.step(40.0)

    assert (minimum,) == loop.rest()


def test_a_model_that_was_never_asked_keeps_what_runs_until_it_is_idle():
    loop = one(replicas=2, min_replicas=1)

    assert {(2,)} == {loop.step(0.0) for _ in range(5)}
    assert loop.decide().held[0].startswith("no requests are heard")
    assert (1,) == loop.rest()


def test_the_minimum_is_ignored_under_load_unless_it_is_for_always():
    for is_always, expected in ((False, 2), (True, 7)):
        loop = one(replicas=7, min_replicas=7, is_min_always=is_always)
        assert (expected,) == [loop.step(15.0) for _ in range(3)][-1]


def test_load_that_returns_is_planned_for_by_the_next_decision():
    loop = one()
    loop.step(40.0)
    assert (0,) == loop.rest()

    loop.hear(60.0, completed={})

    assert {"default/small": 6} == loop.decide().replicas


def test_a_model_that_never_completed_a_request_gets_replicas_and_it_says_so():
    loop = one()

    for _ in range(3):
        loop.hear(1.0, completed={}, arrived_inputs={70: 10}, queued=10)
    decision = loop.decide()

    assert decision.replicas["default/small"] > 0
    assert "no request has completed yet: lengths are assumed" in decision.notes


def test_requests_that_still_wait_are_no_idleness():
    loop = one()
    loop.step(40.0)
    for _ in range(IDLE_WINDOWS):
        loop.hear(0.0, queued=1)

    assert (0,) < loop.step(0.0, queued=1)


def test_old_traces_hold_the_last_decision_and_its_hint():
    loop = one(policy=replace(EXACT, stale_s=60.0))
    loop.step(40.0)
    before = loop.decide()

    loop.now_s += 3600.0
    decision = loop.decide()

    assert ({"default/small": 4}, None) == (decision.replicas, decision.plan)
    assert [
        "the last decision stands: the last trace ended 3600 s ago, more than 60 s: gateways or Redis are away"
    ] == [*decision.held]
    assert (before.hint, loop.now_s) == (
        replace(decision.hint, created_s=before.hint.created_s),
        decision.hint.created_s,
    )


def test_a_model_that_was_idle_is_held_too_while_nothing_is_heard():
    loop = one(min_replicas=1)
    loop.step(40.0)
    loop.rest()
    loop.step(40.0)

    loop.now_s += 400.0

    assert {"default/small": 4} == loop.decide().replicas


def test_lost_profiles_hold_the_last_decision():
    loop = one()
    loop.step(40.0)
    loop.profiles = {}
    loop.hear(10.0)

    decision = loop.decide()

    assert ({"default/small": 4}, ("the last decision stands: no deployment has a profile to plan by",)) == (
        decision.replicas,
        decision.held,
    )
    assert (
        "0 of 1 deployments (default/small: kept as it is, has no profile (aibrix:profile_m_small))"
        == (decision.stages["profiles"])
    )


def test_a_deployment_without_a_profile_is_kept_and_counts_for_nothing():
    loop = one()
    loop.deployments["default/other"] = a_deployment("other", 5)

    assert [(4, 5), (4, 5)] == [tuple(loop.step(40.0)[::-1]), tuple(loop.step(40.0)[::-1])]
    assert (0, 5) == loop.rest()[::-1]


def test_an_override_wins_and_the_rest_is_planned_around_it():
    loop = two()
    loop.overrides = {"default/large": 1}
    assert (1, 3) == loop.step(40.0)

    loop.overrides = {"default/large": 0, "default/small": 1}
    for _ in range(3):
        loop.hear(40.0)
    decision = loop.decide()

    assert {"default/large": 0, "default/small": 1} == decision.replicas
    assert decision.unserved_rate == pytest.approx(30.0)
    assert "default/small: kept at 1, as /scale asked" in decision.notes


def test_what_nobody_can_serve_is_told_and_buys_nothing():
    loop = Loop(a_deployment(), profiles=(replace(a_profile("small"), max_model_len=1000.0),))

    for _ in range(3):
        loop.hear(1000.0, LONG)
    decision = loop.decide()

    assert ({"default/small": 0}, "0.00%") == (decision.replicas, decision.stages["coverage"])
    assert "unserved: 1e+03 req/s of about 4096 input, 64 output tokens: no deployment serves them inside the SLO" in (
        decision.notes
    )
    assert ((0, 0, 1.0),) == decision.hint.unserved


def test_an_old_type_stays_until_the_new_one_is_ready():
    loop = two(small=8)
    for _ in range(5):
        assert (0, 4) <= loop.step(40.0)
    loop.starts = False
    for _ in range(300):
        loop.hear(4.0, LONG)
    counts = [loop.step(4.0, LONG) for _ in range(10)]
    old = counts[-1][1]
    assert counts[-1][0] > 0, "the new type is asked for"
    assert old >= 4, "and the old one stays"

    loop.starts = True
    loop.step(4.0, LONG)

    assert loop.step(4.0, LONG)[1] < old


def test_requests_that_take_as_long_as_the_slo_allows_are_no_backlog():
    loop = one()
    loop.step(10.0, in_flight=20)
    assert 0.0 == loop.decide().demand.backlog_rate

    loop.step(10.0, in_flight=200)

    assert pytest.approx(3.0) == loop.decide().demand.backlog_rate


def test_without_a_bound_on_latency_only_queues_are_a_backlog():
    loop = one()
    loop.profiles = {"small": replace(a_profile("small"), slo=Slo(ttft_s=1.0))}

    loop.step(10.0, in_flight=600, queued=60)

    assert pytest.approx(1.0) == loop.decide().demand.backlog_rate


def test_versions_grow_with_every_plan_and_over_restarts():
    loop = one()
    loop.step(40.0)
    first, second = loop.decide().hint, loop.decide().hint
    loop.decider = Decider(EXACT)
    loop.now_s += 10.0
    loop.step(40.0)

    assert first.version < second.version < loop.decide().hint.version


def test_the_margin_is_planned_for():
    fit = Fit(0.007, 0.00003, 0.015, 0.00003, 64)
    profile, slo = replace(a_profile("small"), fit=fit), Slo(ttft_s=1.0, itl_s=0.05)
    counts = []
    for margin in (1.0, 1.5):
        loop = Loop(a_deployment(), profiles=(profile,), policy=Policy(slo, margin))
        counts.append(loop.step(200.0)[0])

    assert counts[1] > counts[0] * 1.3


def test_a_price_of_changes_is_not_paid_forever():
    """Stopping 4 replicas and starting 4 costs 1.14 in all, the other type is cheaper by 0.4 an hour."""
    profiles = a_profile("a", cost=1.0), a_profile("b", cost=0.9)
    loop = Loop(a_deployment("a", 4), a_deployment("b"), profiles=profiles)

    counts = [loop.step(40.0) for _ in range(40)]

    assert [(4, 0)] * 9 == counts[:9]
    assert ((4, 4), (0, 4)) == (counts[9], counts[-1])


def test_stages_tell_the_chain():
    loop = one()
    loop.step(40.0)

    decision = loop.decide()

    assert {
        "traces": "the last window ended 0 s ago, writers: 1",
        "profiles": "1 of 1 deployments",
        "replicas": "default/small: 4 of 4 ready",
        "demand": "40 req/s (0 of them drain a backlog)",
        "coverage": "100.00%",
        "plan": "cost 4 per hour, gap 0, by highs",
        "held": "nothing",
    } == decision.stages
    assert (4.0, 0.0) == (decision.cost, decision.unserved_rate)


RATES = st.lists(st.sampled_from([0.0, 0.1, 1.0, 5.0, 9.5, 10.0, 14.0, 40.0, 200.0]), min_size=1, max_size=12)


@settings(max_examples=30, deadline=None)
@given(rates=RATES, longs=st.lists(st.booleans(), min_size=12, max_size=12), start=st.integers(0, 5))
def test_published_replicas_carry_the_plan_that_is_in_force(rates: list[float], longs: list[bool], start: int):
    loop = two(small=start)
    for rate, is_long in zip(rates, longs, strict=False):
        for _ in range(3):
            loop.hear(rate, LONG if is_long else SHORT)
        decision = loop.decide()
        wanted = dict(zip([gpu.name for gpu in decision.case.types], decision.plan.replicas, strict=True))

        assert all(decision.replicas[key] >= n for key, n in wanted.items())
        assert decision.replicas == wanted or decision.held
        assert ((), 0.0) == (decision.plan.problems, sum(decision.plan.unserved))


@settings(max_examples=30, deadline=None)
@given(rates=RATES, minimum=st.integers(0, 3), silent=st.booleans())
def test_never_below_the_minimum_without_load_and_never_zero_while_nothing_is_heard(
    rates: list[float], minimum: int, silent: bool
):
    loop = one(min_replicas=minimum)
    for rate in rates:
        loop.step(rate)
    before = loop.counts()

    if silent:
        loop.now_s += 10_000.0
        assert before == tuple(loop.decide().replicas.values())
    else:
        assert (minimum,) == loop.rest()


@settings(max_examples=20, deadline=None)
@given(load=st.floats(0.05, 4.0), start=st.integers(0, 6))
def test_constant_load_never_flaps(load: float, start: int):
    loop = one(replicas=start)
    counts = [loop.step(round(load * 10.0, 1)) for _ in range(25)]

    assert (sorted(counts, reverse=True), 1) == (counts, len(set(counts[16:])))


@settings(max_examples=20, deadline=None)
@given(scale=st.sampled_from([0.001, 0.5, 7.0, 1e6]), rates=RATES)
def test_prices_in_another_currency_change_nothing(scale: float, rates: list[float]):
    plain, scaled = two(), two()
    scaled.profiles = {name: replace(each, cost=each.cost * scale) for name, each in scaled.profiles.items()}

    assert [plain.step(rate) for rate in rates] == [scaled.step(rate) for rate in rates]


@settings(max_examples=20, deadline=None)
@given(rates=RATES)
def test_the_order_of_deployments_changes_nothing(rates: list[float]):
    plain, turned = two(), two()
    turned.deployments = dict(reversed(turned.deployments.items()))

    for rate in rates:
        plain.step(rate)
        turned.step(rate)
        assert plain.counts() == turned.counts()[::-1]
