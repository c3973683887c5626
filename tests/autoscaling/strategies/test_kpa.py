"""KPA: the golden trace, panic, rates, delay, activation, missing values, and its state."""

import pytest

from autoscaling.spec_reading import read
from autoscaling.strategies.kpa import Kpa, excess_burst_capacity
from tests.support.observations import follow, seen
from tests.support.pod_autoscalers import a_pod_autoscaler


def a_kpa(delay: str = "0s", target: str = "10", **options: str) -> Kpa:
    named = {f"kpa.autoscaling.aibrix.ai/{key.replace('_', '-')}": value for key, value in options.items()}
    annotations = {"kpa.autoscaling.aibrix.ai/scale-down-delay": delay} | named
    return Kpa(read(a_pod_autoscaler(target=target, annotations=annotations)))


def a_burst(now_s: float) -> float:
    return 60 if 120 <= now_s < 180 else 18


def test_the_golden_trace_without_a_delay():
    decisions = follow(a_kpa(), a_burst, 2, range(0, 420, 10))

    desired = {now_s: decision.desired for now_s, decision in decisions.items()}
    assert {2} == {desired[now_s] for now_s in range(0, 120, 10)}
    assert "panic" in decisions[60].reason and "panic" not in decisions[70].reason
    assert (4, 6) == (desired[120], desired[130])
    assert "25 over 60 s" in decisions[120].reason and "60 over 10 s = 6" in decisions[120].reason
    assert {6} == {desired[now_s] for now_s in range(130, 190, 10)}
    assert (5, 4, 4, 3, 2) == tuple(desired[now_s] for now_s in (190, 200, 210, 220, 230))
    assert {2} == {desired[now_s] for now_s in range(230, 420, 10)}


def test_the_golden_trace_with_half_an_hour_of_delay():
    decisions = follow(a_kpa("30m"), a_burst, 2, range(0, 420, 10))

    assert (4, 6) == (decisions[120].desired, decisions[130].desired)
    assert {6} == {decisions[now_s].desired for now_s in range(130, 420, 10)}
    assert "3 is delayed by 1800 s" in decisions[410].reason


def test_the_delay_ends():
    decisions = follow(a_kpa("30m"), a_burst, 2, range(0, 2100, 10))

    assert (6, 5, 3) == tuple(decisions[now_s].desired for now_s in (1970, 1980, 2090))


def test_panic_never_shrinks():
    desired = [d.desired for d in follow(a_kpa(), lambda now_s: 100 if now_s < 10 else 1, 3, range(0, 80, 2)).values()]

    assert desired[:30] == sorted(desired[:30]) and desired[-1] < desired[29]


def test_one_pod_does_not_begin_in_panic_and_several_do():
    assert "panic" not in a_kpa().decide(seen(0, 1, 5)).reason
    assert "panic" in a_kpa().decide(seen(0, 2, 5, 5)).reason


@pytest.mark.parametrize(("ready", "load", "desired"), [(1, 1000, 2), (3, 1000, 6), (4, 0, 2), (5, 0, 2), (1, 0, 0)])
def test_a_step_keeps_within_the_rates(ready: int, load: float, desired: int):
    kpa = a_kpa()
    kpa.restore(kpa.state())  # which leaves it without the panic of the beginning

    assert desired == kpa.decide(seen(0, ready, *[load / ready] * ready)).desired


def test_pods_that_are_starting_are_not_taken_back_by_the_rate():
    decision = a_kpa().decide(seen(0, 1, 1000, starting=7))

    assert 8 == decision.desired


def test_need_beyond_the_starting_pods_raises_again():
    assert 4 == a_kpa(max_scale_up_rate="10").decide(seen(0, 1, 40, starting=1)).desired


def test_a_need_above_zero_is_at_least_the_activation_scale():
    assert 2 == a_kpa(activation_scale="2").decide(seen(0, 1, 1)).desired
    assert 0 == a_kpa(activation_scale="2").decide(seen(0, 1, 0)).desired


def test_without_a_value_replicas_are_kept_and_the_metric_is_named():
    decision = a_kpa().decide(seen(0, 3, None, None, None, starting=1))

    assert (4, "no value of running") == (decision.desired, decision.missing)


def test_a_pod_that_was_not_read_does_not_count_as_idle():
    full, silent = a_kpa(), a_kpa()
    for kpa in (full, silent):
        kpa.restore(kpa.state())

    assert (2, 3) == (full.decide(seen(0, 4, 4, 4, 4, 4)).desired, silent.decide(seen(0, 4, 4, 4, None, None)).desired)


def test_one_metric_of_two_may_raise_but_not_shrink_while_the_other_is_missing():
    sources = a_pod_autoscaler()["spec"]["metricsSources"]
    spec = read(a_pod_autoscaler(metricsSources=[*sources, sources[0] | {"targetMetric": "other"}]))
    low, high = Kpa(spec), Kpa(spec)
    for kpa in (low, high):
        kpa.restore(kpa.state())

    assert (4, "no value of other") == (
        low.decide(seen(0, 4, 1, 1, 1, 1)).desired,
        low.decide(seen(2, 4, 1, 1, 1, 1)).missing,
    )
    assert 8 == high.decide(seen(0, 4, 20, 20, 20, 20)).desired


def test_the_next_decision_is_two_seconds_later():
    assert 7 == a_kpa().decide(seen(5, 1, 1)).next_s


def test_a_restored_one_decides_as_if_it_had_not_been_away():
    whole = a_kpa("10m")
    first = follow(whole, a_burst, 2, range(0, 150, 10))
    later = a_kpa("10m")
    later.restore(whole.state())

    replicas = first[140].desired
    assert [d.desired for d in follow(whole, a_burst, replicas, range(150, 900, 10)).values()] == [
        d.desired for d in follow(later, a_burst, replicas, range(150, 900, 10)).values()
    ]


@pytest.mark.parametrize(
    "state", [{}, {"windows": 3}, {"panic_since_s": "x", "panic_peak": 0, "windows": {}, "delay": []}]
)
def test_a_strange_state_is_refused(state: dict[str, object]):
    with pytest.raises(ValueError, match="no state of KPA"):
        a_kpa().restore(state)


@pytest.mark.parametrize(("wanted", "excess"), [(0, 0), (-1, -1), (2, 198 - 31), (500, -331)])
def test_the_excess_burst_capacity_is_that_of_knative(wanted: float, excess: int):
    assert excess == excess_burst_capacity(2, wanted, 30.5)
