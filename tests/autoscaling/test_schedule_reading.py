"""Schedules of bounds: what is read, and problems that name their field."""

from typing import Any

import pytest

from autoscaling.spec import Spec
from autoscaling.spec_reading import read
from tests.support.pod_autoscalers import a_pod_autoscaler, problems_of


def with_schedules(*schedules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    times = {"startTime": "08:00", "endTime": "18:00", "minReplicas": 2}
    named = [{"name": f"s{index}"} | times | each for index, each in enumerate(schedules)]
    return a_pod_autoscaler(schedules=named, **spec)


def test_schedules_are_read():
    spec = read(
        with_schedules(
            {"timezone": "Europe/Berlin", "daysOfWeek": ["Mon", "FRI"]},
            {"startTime": "18:00", "endTime": "23:59", "minReplicas": None, "maxReplicas": 3},
        )
    )

    first, second = spec.schedules
    assert ("Europe/Berlin", {0, 4}, 480, 1080, 2, None) == (
        first.timezone, first.days, first.start_minute, first.end_minute, first.least, first.most
    )  # fmt: skip
    assert ("UTC", frozenset(), None, 3) == (second.timezone, second.days, second.least, second.most)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"timezone": "Mars/Olympus"}, "timezone = Mars/Olympus"),
        ({"timezone": "../etc/passwd"}, "timezone = ../etc/passwd"),
        ({"daysOfWeek": ["Monday"]}, "daysOfWeek = Monday"),
        ({"daysOfWeek": []}, "daysOfWeek = []"),
        ({"startTime": "8:00"}, "startTime = 8:00"),
        ({"endTime": "24:00"}, "endTime = 24:00"),
        ({"startTime": "18:00"}, "endTime = 18:00"),
        ({"name": "Office hours"}, "name = Office hours"),
        ({"minReplicas": None}, " = nothing, must have minReplicas or maxReplicas"),
        ({"minReplicas": 11}, "minReplicas = 11"),
        ({"maxReplicas": 1}, "maxReplicas = 1"),
        ({"replicas": 1}, "replicas is not known"),
    ],
)
def test_a_bad_schedule_is_named(fields: dict[str, Any], field: str):
    (problem,) = problems_of(with_schedules(fields))

    assert problem.startswith(f"spec.schedules[0]{'' if field[0] == ' ' else '.'}{field}")


def test_schedules_that_overlap_or_share_a_name_are_named():
    overlapping = with_schedules({"daysOfWeek": ["Mon"]}, {"startTime": "17:59", "endTime": "19:00"})
    apart = with_schedules({"daysOfWeek": ["Mon"]}, {"daysOfWeek": ["Tue"]}, {"startTime": "18:00", "endTime": "19:00"})
    named = with_schedules({"name": "a"}, {"name": "a", "startTime": "18:00", "endTime": "19:00"})

    assert ("spec.schedules[1].startTime = 17:59, overlaps spec.schedules[0]",) == problems_of(overlapping)
    assert isinstance(read(apart), Spec)
    assert ("spec.schedules[1].name = a, must not be that of spec.schedules[0]",) == problems_of(named)
