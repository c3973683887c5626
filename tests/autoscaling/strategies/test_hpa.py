"""HPA: Kubernetes' arithmetic with pods that miss or start, tolerance, delays, limits and policies."""

import pytest

from autoscaling.observation import Observation
from autoscaling.spec_reading import read
from autoscaling.strategies.hpa import Hpa, HpaSettings, milli, replicas_of_pods, replicas_of_whole
from tests.support.observations import seen
from tests.support.pod_autoscalers import a_pod_autoscaler


def an_hpa(target: str = "50", least: int = 1, most: int = 100, **options: str) -> Hpa:
    annotations = {f"autoscaling.aibrix.ai/{key.replace('_', '-')}": value for key, value in options.items()}
    return Hpa(read(a_pod_autoscaler("HPA", target=target, least=least, most=most, annotations=annotations)))


def wanted(*values: int, missing: int = 0, unready: int = 0, current: int | None = None) -> int:
    return replicas_of_pods(
        values,
        missing=missing,
        unready=unready,
        current=len(values) + missing + unready if current is None else current,
        target=50,
        chosen=HpaSettings(),
    )


@pytest.mark.parametrize(
    ("values", "others", "desired"),
    [
        ((100,), {}, 2),
        ((101,), {}, 3),
        ((55,), {}, 1),  # within the tolerance
        ((45, 45), {}, 2),
        ((20, 20), {}, 1),
        ((100,), {"unready": 1}, 2),  # not ready pods count as 0
        ((200,), {"unready": 1}, 4),
        ((100,), {"missing": 1}, 2),  # up: missing ones as 0
        ((20, 20), {"missing": 2}, 3),  # down: as the target
        ((60,), {"missing": 3}, 4),  # the direction would turn
        ((45, 45, 45), {"missing": 1}, 4),
        ((50,), {"missing": 1}, 2),
        ((20,), {"unready": 3}, 1),  # down: pods that start are left out
    ],
)
def test_the_recommendation_is_that_of_kubernetes(values: tuple[int, ...], others: dict[str, int], desired: int):
    assert desired == wanted(*values, **others)


@pytest.mark.parametrize(
    ("value", "current", "desired"), [(100, 2, 2), (105, 2, 2), (150, 2, 3), (0, 2, 0), (100, 0, 2)]
)
def test_a_metric_of_the_whole_is_shared_among_replicas(value: int, current: int, desired: int):
    assert desired == replicas_of_whole(value, current=current, target=50, chosen=HpaSettings())


@pytest.mark.parametrize(("value", "thousandths"), [(0.5, 500), (4.35, 4350), (0.0001, 1), (0.057, 57), (0, 0)])
def test_values_are_thousandths_rounded_up(value: float, thousandths: int):
    assert thousandths == milli(value)


def test_utilisation_of_100_doubles_one_pod_and_does_not_triple_it():
    assert (2, 3) == (an_hpa().decide(seen(0, 1, 100)).desired, an_hpa().decide(seen(0, 1, 101)).desired)


def test_it_falls_to_the_largest_of_five_minutes():
    hpa = an_hpa()
    hpa.decide(seen(0, 4, 50, 50, 50, 50))
    desired = {now_s: hpa.decide(seen(now_s, 4, 10, 10, 10, 10)).desired for now_s in range(15, 316, 15)}

    assert {4} == {desired[now_s] for now_s in range(15, 301, 15)} and 1 == desired[315]


def test_one_step_at_most_doubles_or_goes_to_four():
    assert (4, 6) == (an_hpa().decide(seen(0, 1, 1000)).desired, an_hpa().decide(seen(0, 3, *[1000] * 3)).desired)


def test_a_rate_becomes_a_policy_of_a_minute():
    hpa = an_hpa(max_scale_up_rate="1.5")

    assert 6 == hpa.decide(seen(0, 4, *[1000] * 4)).desired
    assert 6 == hpa.decide(seen(15, 6, *[1000] * 6)).desired
    assert 9 == hpa.decide(seen(60, 6, *[1000] * 6)).desired


def test_a_rate_down_becomes_a_policy_of_a_minute():
    hpa = an_hpa(max_scale_down_rate="2", scale_down_cooldown_window="0s")

    assert 4 == hpa.decide(seen(0, 8, *[1] * 8)).desired
    assert 4 == hpa.decide(seen(15, 4, *[1] * 4)).desired
    assert 2 == hpa.decide(seen(60, 4, *[1] * 4)).desired


def test_a_delay_up_waits_for_the_smallest_recommendation():
    hpa = an_hpa(scale_up_cooldown_window="30s")
    hpa.decide(seen(0, 2, 50, 50))

    assert [2, 4] == [hpa.decide(seen(now_s, 2, 100, 100)).desired for now_s in (15, 30)]


def test_default_policies_hold_beside_delays():
    assert (5, 12) == (
        an_hpa(scale_up_cooldown_window="0s").decide(seen(0, 1, 10_000)).desired,
        an_hpa(scale_up_cooldown_window="0s").decide(seen(0, 6, *[10_000] * 6)).desired,
    )


def test_the_largest_of_several_metrics_counts_and_a_missing_one_forbids_shrinking():
    sources = a_pod_autoscaler(target="50")["spec"]["metricsSources"]
    spec = read(a_pod_autoscaler("HPA", most=100, metricsSources=[*sources, sources[0] | {"targetMetric": "other"}]))

    assert 4 == Hpa(spec).decide(seen(0, 2, 100, 100)).desired
    assert (2, "no value of other") == (
        Hpa(spec).decide(seen(0, 2, 1, 1)).desired,
        Hpa(spec).decide(seen(0, 2, 1, 1)).missing,
    )


def test_bounds_come_first_and_are_at_least_one():
    assert 3 == an_hpa(least=3).decide(seen(0, 2, 1000, 1000)).desired
    assert 4 == an_hpa(most=4).decide(seen(0, 9, *[1000] * 9)).desired
    hpa = an_hpa(least=0, scale_down_cooldown_window="0s")
    assert 1 == hpa.decide(seen(0, 2, 0, 0)).desired


def test_a_target_without_replicas_is_left_alone():
    assert 0 == an_hpa(least=0).decide(seen(0, 0)).desired


def test_a_metric_of_the_whole_target_is_read():
    source = {"metricSourceType": "external", "targetMetric": "queue", "targetValue": "5"}
    hpa = Hpa(read(a_pod_autoscaler("HPA", metricsSources=[source])))

    decision = hpa.decide(Observation(0, 2, external={"queue": 20}))

    assert 4 == decision.desired and decision.reason == "queue 20 / target 5 recommends 4 of 2"


def test_a_restored_one_decides_as_if_it_had_not_been_away():
    whole, later = an_hpa(max_scale_up_rate="1.5"), an_hpa(max_scale_up_rate="1.5")
    whole.decide(seen(0, 4, *[1000] * 4))
    later.restore(whole.state())

    loads = [(15, 6, 1000), (30, 6, 1), (75, 6, 1000), (90, 9, 1), (400, 9, 1)]
    decide = lambda hpa: [hpa.decide(seen(now_s, ready, *[use] * ready)) for now_s, ready, use in loads]  # noqa: E731 - short
    assert decide(whole) == decide(later)


def test_a_strange_state_is_refused():
    with pytest.raises(ValueError, match="no state of HPA"):
        an_hpa().restore({})
