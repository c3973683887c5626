"""Numbers of replicas that the optimizer computed are taken over as they are."""

import pytest

from autoscaling.autoscaler import autoscaler
from autoscaling.observation import Observation
from autoscaling.spec import REPLICAS_METRIC
from autoscaling.spec_reading import read
from tests.support.pod_autoscalers import s1


def asked(now_s: float, value: float | None, ready: int = 1, starting: int = 0) -> Observation:
    return Observation(now_s, ready, starting, external={} if value is None else {REPLICAS_METRIC: value})


def an_autoscaler(target: str = "100", **labels: str):
    document = s1()
    document["spec"]["metricsSources"][0]["targetValue"] = target
    document["metadata"]["labels"] = {f"kpa.autoscaling.aibrix.ai/{k.replace('_', '-')}": v for k, v in labels.items()}
    return autoscaler(read(document))


@pytest.mark.parametrize(
    ("target", "value", "desired"),
    [
        ("100", 4, 4),
        ("100", 0, 0),
        ("50", 4, 8),
        ("1", 4, 4),
        ("0.8", 4, 5),
        ("80", 4, 5),
        ("100", 40, 10),
        ("10", 0.7, 7),
    ],
)
def test_the_number_is_taken_over_in_one_step(target: str, value: float, desired: int):
    assert desired == an_autoscaler(target).decide(asked(0, value)).desired


def test_it_falls_at_once_unless_a_delay_is_asked_for():
    prompt, late = an_autoscaler(), an_autoscaler(scale_down_delay="60s")

    assert (6, 6) == (prompt.decide(asked(0, 6)).desired, late.decide(asked(0, 6)).desired)
    assert (0, 6) == (prompt.decide(asked(2, 0, 6)).desired, late.decide(asked(2, 0, 6)).desired)
    assert 0 == late.decide(asked(60, 0, 6)).desired


def test_an_optimizer_that_does_not_answer_changes_nothing():
    decision = an_autoscaler().decide(asked(0, None, ready=3, starting=1))

    assert (4, f"no value of {REPLICAS_METRIC}") == (decision.desired, decision.missing)


def test_the_delay_is_kept_over_a_restart():
    late = an_autoscaler(scale_down_delay="60s")
    late.decide(asked(0, 6))
    later = an_autoscaler(scale_down_delay="60s")
    later.restore(late.state())

    assert 6 == later.decide(asked(2, 0, 6)).desired
