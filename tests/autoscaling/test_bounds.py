"""Bounds at a time: schedules in their time zones, over changes of daylight saving time."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from autoscaling.bounds import Bounds, bounds_at
from autoscaling.spec_reading import read
from tests.support.pod_autoscalers import a_pod_autoscaler

SPEC = read(
    a_pod_autoscaler(
        schedules=[
            {
                "name": "office", "timezone": "Europe/Berlin", "daysOfWeek": ["Mon", "Tue"],
                "startTime": "08:00", "endTime": "18:00", "minReplicas": 4,
            },
            {"name": "night", "timezone": "Europe/Berlin", "startTime": "22:00", "endTime": "23:00", "maxReplicas": 2},
        ]
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("time", "bounds"),
    [
        ("2026-11-30 07:59", Bounds(1, 10)),  # a Monday
        ("2026-11-30 08:00", Bounds(4, 10, "office")),
        ("2026-11-30 17:59", Bounds(4, 10, "office")),
        ("2026-11-30 18:00", Bounds(1, 10)),
        ("2026-12-02 12:00", Bounds(1, 10)),  # a Wednesday
        ("2026-12-02 22:30", Bounds(1, 2, "night")),
        ("2026-06-01 08:00", Bounds(4, 10, "office")),  # in summer
    ],
)
def test_a_schedule_holds_by_the_clocks_of_its_time_zone(time: str, bounds: Bounds):
    now_s = datetime.fromisoformat(time).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp()

    assert bounds == bounds_at(SPEC, now_s)


def test_replicas_are_clamped():
    assert (2, 3, 5) == tuple(Bounds(2, 5).clamp(replicas) for replicas in (0, 3, 9))
