"""Budgets: what a level has used in a calendar day and a calendar month, in UTC.

Lives here: values and pure code, by the slots of the window (seconds).  Not here: limits (limits), or the same rules
inside Redis (redis/lua/periods.lua).

A charge counts in the day and the month of its slot, and so does every correction of it: what is given back today does
not enrich who spent it yesterday.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from ratelimit.kinds import NOTHING, Amounts, LimitKind, Limits
from ratelimit.limits import Quota
from ratelimit.window import Obstacle, fits

DAY_S = 86_400

PERIODS = ("day", "month")

KEPT = 2
"""How many days and how many months are kept: the present one, and the one before for corrections."""


def day_slot(slot: int) -> int:
    """Return the first slot of a slot's day."""
    return slot // DAY_S * DAY_S


def period_name(period: str, slot: int) -> str:
    """Return the day (`2026-03-01`) or the month (`2026-03`) of a slot."""
    day, month = _names(slot // DAY_S)
    return day if period == "day" else month


def period_end_s(period: str, slot: int) -> int:
    """Return when the day or the month of a slot is over."""
    start = datetime.fromtimestamp(day_slot(slot), UTC)
    if period == "day":
        return int((start + timedelta(days=1)).timestamp())
    return int((start.replace(day=28) + timedelta(days=4)).replace(day=1).timestamp())


@lru_cache(maxsize=64)
def _names(day: int) -> tuple[str, str]:
    name = datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()
    return name, name[:7]


class Periods:
    """The use of one level, by day and by month."""

    def __init__(self) -> None:
        self._used: dict[str, dict[str, Amounts]] = {
            period: {} for period in PERIODS
        }  # by period and its name, oldest first

    def take(self, slot: int, amounts: Amounts) -> None:
        """Charge without asking."""
        self.seed(slot, dict.fromkeys(PERIODS, amounts))

    def seed(self, slot: int, amounts: Mapping[str, Amounts]) -> None:
        """Charge what was used in the day and in the month of a slot."""
        for period, used in self._used.items():
            name = period_name(period, slot)
            used[name] = used.get(name, NOTHING).plus(amounts[period])
            while len(used) > KEPT:
                del used[min(used)]

    def settle(self, slot: int, change: Amounts) -> None:
        """Add `change` to the day and the month of a slot, never below zero; do nothing where nothing was charged."""
        for period, used in self._used.items():
            name = period_name(period, slot)
            if name in used:
                used[name] = Amounts(*[max(0, amount) for amount in used[name].plus(change)])

    def used(self, period: str, slot: int) -> Amounts:
        """Return what was used in the day or the month of a slot."""
        return self._used[period].get(period_name(period, slot), NOTHING)

    def obstacles(self, limits: Limits, amounts: Amounts, slot: int, now_s: float) -> list[Obstacle]:
        """Return the budgets that are in the way of a charge, in the order of `limits`."""
        found = []
        for kind, limit in limits.items():
            amount = kind.of(amounts)
            if limit is not None and not fits(limit, kind.of(self.used(kind.period, slot)), amount):
                wait_s = period_end_s(kind.period, slot) - now_s if fits(limit, 0, amount) else None
                found.append(Obstacle(kind, limit, wait_s))
        return found

    def quotas(self, limits: Limits, slot: int, now_s: float) -> dict[LimitKind, Quota]:
        """Return budgets and use as a verdict shows them."""
        shown = {}
        for kind, limit in limits.items():
            used = kind.of(self.used(kind.period, slot))
            shown[kind] = Quota(limit, used, period_end_s(kind.period, slot) - now_s if used else 0.0)
        return shown
