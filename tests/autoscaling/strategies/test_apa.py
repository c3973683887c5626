"""APA: the golden values, tolerances, windows, delays, and pods that start."""

import pytest

from autoscaling.spec_reading import read
from autoscaling.strategies.apa import Apa, ApaSettings, desired_replicas
from tests.support.observations import seen
from tests.support.pod_autoscalers import a_pod_autoscaler

GOLDEN = [
    (2, 45, {}, 3),
    (2, 35, {}, 3),
    (2, 90, {}, 4),
    (2, 90, {"max_up_rate": 2.5}, 5),
    (6, 20, {}, 4),
    (6, 18, {}, 4),
    (6, 10, {}, 3),
    (6, 5, {"max_down_rate": 2.5}, 2),
    (2, 33, {}, 2),
    (2, 27, {}, 2),
]


def an_apa(target: str = "30", **options: str) -> Apa:
    annotations = {f"autoscaling.aibrix.ai/{key.replace('_', '-')}": value for key, value in options.items()}
    return Apa(read(a_pod_autoscaler("APA", target=target, annotations=annotations)))


@pytest.mark.parametrize(("ready", "use", "changed", "desired"), GOLDEN)
def test_the_golden_values(ready: int, use: float, changed: dict[str, float], desired: int):
    chosen = ApaSettings(up_tolerance=0.1, down_tolerance=0.1, **changed)

    assert desired == desired_replicas(ready, ready, use / 30, chosen)


@pytest.mark.parametrize(("ready", "use", "changed", "desired"), GOLDEN)
def test_the_golden_values_of_an_object(ready: int, use: float, changed: dict[str, float], desired: int):
    rates = {key.replace("max_", "max_scale_"): str(value) for key, value in changed.items()}
    apa = an_apa(up_fluctuation_tolerance="0.1", down_fluctuation_tolerance="0.1", **rates)

    assert desired == apa.decide(seen(0, ready, *[use] * ready)).desired


def test_the_tolerances_are_those_of_the_documents():
    assert [4, 4, 5] == [an_apa("100").decide(seen(0, 4, *[use] * 4)).desired for use in (80, 110, 111)]
    assert 4 == an_apa("100").decide(seen(0, 5, *[79] * 5)).desired


def test_the_mean_of_the_window_decides():
    apa = an_apa("10", window="30s")
    desired = [apa.decide(seen(now_s, 2, use, use)).desired for now_s, use in ((0, 10), (10, 10), (20, 14), (30, 14))]

    assert [2, 2, 3, 3] == desired
    assert "12.6667 per pod over 30 s" in apa.decide(seen(30, 2, 14, 14)).reason


def test_it_looks_more_often_than_it_decides():
    apa = an_apa("10", window="30s")
    decisions = [apa.decide(seen(now_s, 2, use, use)) for now_s, use in ((0, 10), (2, 30), (4, 30), (6, 30), (9, 30))]

    assert {2} == {decision.desired for decision in decisions}
    assert [2, 4, 6, 8, 10] == [decision.next_s for decision in decisions]
    assert f"{decisions[0].reason}; the next decision is due in 1 s" == decisions[-1].reason
    assert 4 == apa.decide(seen(10, 2, 10, 10)).desired  # the mean of all six


def test_pods_that_start_are_neither_added_to_nor_taken_back():
    assert 4 == an_apa("10").decide(seen(0, 2, 13, 13, starting=2)).desired
    assert 4 == an_apa("10").decide(seen(0, 2, 10, 10, starting=2)).desired
    assert 4 == an_apa("10").decide(seen(0, 2, 30, 30, starting=2)).desired
    assert 2 == an_apa("10").decide(seen(0, 2, 7, 7, starting=2)).desired


def test_delays_hold_changes_back():
    apa = an_apa("10", scale_up_cooldown_window="20s", scale_down_cooldown_window="40s", window="1s")
    loads = [(0, 10), (10, 20), (20, 20), (30, 20), (40, 5), (60, 5), (79, 5), (90, 5)]

    assert [2, 2, 4, 4, 2, 2, 1, 1] == [apa.decide(seen(now_s, 2, use, use)).desired for now_s, use in loads]


def test_without_a_value_or_a_ready_pod_replicas_are_kept():
    assert (3, "no value of running") == (an_apa().decide(seen(0, 3)).desired, an_apa().decide(seen(0, 3)).missing)
    assert 2 == an_apa().decide(seen(0, 0, starting=2)).desired


def test_a_pod_that_was_not_read_counts_as_the_target():
    assert (2, 3) == (
        an_apa("10").decide(seen(0, 4, 1, 1, 1, 1)).desired,
        an_apa("10").decide(seen(0, 4, 1, 1, None, None)).desired,
    )


def test_a_metric_that_is_missing_is_told_at_every_look_until_it_is_back():
    sources = a_pod_autoscaler("APA", target="10")["spec"]["metricsSources"]
    apa = Apa(read(a_pod_autoscaler("APA", metricsSources=[*sources, sources[0] | {"targetMetric": "other"}])))

    for now_s in (0, 2):
        assert (4, "no value of other") == (
            (decision := apa.decide(seen(now_s, 4, 1, 1, 1, 1))).desired,
            decision.missing,
        )
    assert 8 == apa.decide(seen(4, 4, 90, 90, 90, 90)).desired


def test_a_restored_one_decides_as_if_it_had_not_been_away():
    options = {"scale_up_cooldown_window": "30s", "scale_down_cooldown_window": "60s"}
    whole, later = an_apa(**options), an_apa(**options)
    for now_s in range(0, 104, 2):
        whole.decide(seen(now_s, 2, now_s, now_s))
    later.restore(whole.state())

    assert [whole.decide(seen(now_s, 2, 20, 20)) for now_s in range(104, 200, 2)] == [
        later.decide(seen(now_s, 2, 20, 20)) for now_s in range(104, 200, 2)
    ]


def test_a_strange_state_is_refused():
    with pytest.raises(ValueError, match="no state of APA"):
        an_apa().restore({"windows": 3})
