"""Observations: what was not reported is unknown, and nothing unknown is taken for something known."""

import msgspec
import pytest

from autoscaling.observation import Observation


def read(line: str) -> Observation:
    return msgspec.json.decode(line, type=Observation)


def test_only_the_time_and_the_ready_pods_have_to_be_there():
    observation = read('{"now_s": 5, "ready": 2}')

    assert observation.starting is None and observation.arrivals is None and observation.latency is None
    assert observation.ordered == 2


def test_a_metric_that_was_not_read_is_absent():
    observation = read('{"now_s": 5, "ready": 1, "pods": [{"name": "a", "running": 3}]}')

    assert observation.pods[0].running == 3 and observation.pods[0].waiting is None
    assert observation.pods[0].metrics == {}


@pytest.mark.parametrize(
    "line",
    [
        '{"now_s": 5}',
        '{"now_s": 5, "ready": -1}',
        '{"now_s": 5, "ready": 1.5}',
        '{"now_s": 5, "ready": 1, "readdy": 1}',
        '{"now_s": NaN, "ready": 1}',
        '{"now_s": 5, "ready": 1, "pods": [{"name": "a", "running": -1}]}',
        '{"now_s": 5, "ready": 1, "arrivals": {"requests": 1}}',
    ],
)
def test_what_cannot_be_is_refused(line: str):
    with pytest.raises((msgspec.ValidationError, msgspec.DecodeError)):
        read(line)
