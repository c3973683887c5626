"""SLOs: which points keep them, and texts that are none."""

import pytest

from optimizer.input.reading import InputError
from optimizer.profiling.points import Load
from optimizer.profiling.targets import Targets, checked, parse_targets
from tests.support.measured import a_point

POINT = a_point(Load(30, 10, 2.0), ttft=0.1, tpot=0.02, stderr=0.1)  # E2E 0.28


@pytest.mark.parametrize(
    ("targets", "is_kept"),
    [
        (Targets(), True),
        (Targets(ttft=0.11), True),
        (Targets(ttft=0.1), False),  # must be below
        (Targets(ttft=0.11, itl=0.019), False),  # all must be kept
        (Targets(tpot=0.021, itl=0.021, e2e=0.3), True),
        (Targets(tpat=0.0071), True),
        (Targets(tpat=0.0069), False),
        (Targets(ttft=0.11, percentile=90), False),
        (Targets(ttft=0.21, percentile=90), True),
        (Targets(tput=2.0, tt=20.0), True),  # at least
        (Targets(tput=2.1), False),
        (Targets(tt=20.1), False),
    ],
)
def test_a_point_keeps_an_slo(targets: Targets, is_kept: bool):
    assert is_kept is targets.is_kept(POINT)


def test_only_latencies_are_broken_by_a_higher_rate():
    assert Targets(tput=100.0).are_latencies_kept(POINT)
    assert not Targets(e2e=0.2).are_latencies_kept(POINT)


def test_the_error_is_that_of_the_latency_nearest_to_its_target():
    uneven = a_point(Load(30, 10, 2.0), ttft=0.1, tpot=0.02, stderr=0.1)
    uneven.metrics["TTFT"]["stderr"] = 0.05  # half of it

    assert 0.8225 == pytest.approx(Targets(ttft=0.11, itl=1.0).error(uneven))
    assert 0.1645 == pytest.approx(Targets(ttft=10.0, itl=0.021).error(uneven))
    assert None is Targets(ttft=0.5, percentile=90).error(uneven)
    assert None is Targets(ttft=0.5).error(a_point(Load(30, 10, 2.0)))


def test_a_text_is_read():
    assert Targets(ttft=2.0, itl=0.05, percentile=99) == parse_targets("ttft=2,itl=0.05,percentile=99")
    assert {"percentile": 99, "ttft": 2, "itl": 0.05} == parse_targets("ttft=2,itl=0.05,percentile=99").page()


@pytest.mark.parametrize("text", ["", "ttft", "x=1", "ttft=x", "ttft=nan", "ttft=1,ttft=2", "ttft=0", "percentile=100"])
def test_a_text_that_is_none_is_an_error(text: str):
    with pytest.raises(InputError):
        parse_targets(text)


def test_targets_must_be_above_0():
    with pytest.raises(InputError, match=r"ttft = -1, must be above 0; percentile = -1, must be from 0"):
        checked(Targets(ttft=-1.0, percentile=-1))
