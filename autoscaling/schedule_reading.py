"""Reads `spec.schedules`: bounds that hold at certain times of certain days.

Days are three letters, times are HH:MM, [start, end) within one day; at most one schedule holds at any time.
"""

import re
from collections.abc import Mapping
from itertools import combinations
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from autoscaling.spec import Schedule
from autoscaling.values import Values

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_KEYS = frozenset({"name", "timezone", "daysOfWeek", "startTime", "endTime", "minReplicas", "maxReplicas"})
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_HOUR_MINUTES = 60


def read_schedules(values: Values, value: object, least: int, most: int) -> tuple[Schedule, ...]:
    """Return the schedules; `least` and `most` are the bounds that hold without them."""
    path = "spec.schedules"
    items = values.items(path, value) if value is not None else []
    schedules = tuple(_schedule(values, f"{path}[{index}]", item, least, most) for index, item in enumerate(items))
    for (first, one), (second, other) in combinations(enumerate(schedules), 2):
        if one.name == other.name:
            values.problem(f"{path}[{second}].name", other.name, f"must not be that of {path}[{first}]")
        if _overlap(one, other):
            values.problem(f"{path}[{second}].startTime", _clock(other.start_minute), f"overlaps {path}[{first}]")
    return schedules


def _schedule(values: Values, path: str, value: object, least: int, most: int) -> Schedule:
    schedule = values.mapping(path, value)
    values.known(path, schedule, _KEYS)
    name = values.text(f"{path}.name", schedule.get("name"))
    if name and not _NAME.fullmatch(name):
        values.problem(f"{path}.name", name, "must be small letters, digits and hyphens")
    start = _minute(values, f"{path}.startTime", schedule.get("startTime"))
    end = _minute(values, f"{path}.endTime", schedule.get("endTime"))
    if start is not None and end is not None and end <= start:
        values.problem(f"{path}.endTime", schedule["endTime"], "must be later than startTime, on the same day")
    own_least, own_most = _bounds(values, path, schedule, least, most)
    return Schedule(
        name=name,
        timezone=_timezone(values, f"{path}.timezone", schedule.get("timezone")),
        days=_days(values, f"{path}.daysOfWeek", schedule.get("daysOfWeek")),
        start_minute=start or 0,
        end_minute=end or 0,
        least=own_least,
        most=own_most,
    )


def _bounds(
    values: Values, path: str, schedule: Mapping[str, Any], least: int, most: int
) -> tuple[int | None, int | None]:
    low, high = schedule.get("minReplicas"), schedule.get("maxReplicas")
    if low is None and high is None:
        values.problem(path, None, "must have minReplicas or maxReplicas")
    low = None if low is None else values.count(f"{path}.minReplicas", low, 0)
    high = None if high is None else values.count(f"{path}.maxReplicas", high, 1)
    lowest, highest = least if low is None else low, most if high is None else high
    if lowest > highest:
        key, bound = ("maxReplicas", highest) if high is not None else ("minReplicas", lowest)
        values.problem(f"{path}.{key}", bound, f"leaves bounds of {lowest} to {highest}, must be min <= max")
    return low, high


def _timezone(values: Values, path: str, value: object) -> str:
    name = "UTC" if value in (None, "") else str(value)
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # the latter two for names that are no proper path
        values.problem(path, value, "must be a time zone of the IANA database, such as Europe/Berlin")
        return "UTC"
    return name


def _days(values: Values, path: str, value: object) -> frozenset[int]:
    if value is None:
        return frozenset()
    days = values.items(path, value)
    unknown = [day for day in days if str(day).lower() not in DAYS]
    for day in unknown:
        values.problem(path, day, "must be one of Mon, Tue, Wed, Thu, Fri, Sat, Sun")
    if not days:
        values.problem(path, value, "must have at least one day")
    return frozenset(DAYS.index(str(day).lower()) for day in days if day not in unknown)


def _minute(values: Values, path: str, value: object) -> int | None:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        values.problem(path, value, "must be a time HH:MM, in quotes")
        return None
    return int(found[1]) * _HOUR_MINUTES + int(found[2])


def _overlap(one: Schedule, other: Schedule) -> bool:
    """Tell whether two of one time zone hold at once; across zones the first of the list counts."""
    share_days = not one.days or not other.days or bool(one.days & other.days)
    share_minutes = max(one.start_minute, other.start_minute) < min(one.end_minute, other.end_minute)
    return one.timezone == other.timezone and share_days and share_minutes


def _clock(minute: int) -> str:
    return f"{minute // _HOUR_MINUTES:02d}:{minute % _HOUR_MINUTES:02d}"
