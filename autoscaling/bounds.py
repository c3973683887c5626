"""Bounds of replicas at a time: those of the specification, or of the schedule that holds then."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from autoscaling.spec import Schedule, Spec

_HOUR_MINUTES = 60


@dataclass(frozen=True, slots=True)
class Bounds:
    """Fewest and most replicas."""

    least: int
    most: int
    schedule: str = ""
    """Name of the schedule that they are of; empty = of the specification."""

    def clamp(self, replicas: int) -> int:
        """Return the nearest number within the bounds."""
        return max(self.least, min(self.most, replicas))


def bounds_at(spec: Spec, now_s: float) -> Bounds:
    """Return the bounds at a time in seconds since the epoch; the first schedule that holds counts."""
    for schedule in spec.schedules:
        if _holds(schedule, now_s):
            least = spec.least if schedule.least is None else schedule.least
            most = spec.most if schedule.most is None else schedule.most
            return Bounds(least, most, schedule.name)
    return Bounds(spec.least, spec.most)


def _holds(schedule: Schedule, now_s: float) -> bool:
    local = datetime.fromtimestamp(now_s, UTC).astimezone(ZoneInfo(schedule.timezone))
    minute = local.hour * _HOUR_MINUTES + local.minute
    is_day = not schedule.days or local.weekday() in schedule.days
    return is_day and schedule.start_minute <= minute < schedule.end_minute
