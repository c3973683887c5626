"""The verdicts that a replica last heard about users, keys and groups: enough to go on while Redis is away.

Lives here: verdicts by level, and the limits and the use that they told.  Not here: deciding by them (fallback).

The limits of concurrency of keys and groups are in no verdict, so alone nobody knows them.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ratelimit.kinds import GROUP, KEY, LEVEL_KINDS, MODEL_KINDS, NOTHING, USER, Amounts, LimitKind, Scope
from ratelimit.limits import Admitted, Charge, Holder, Policy, Quotas, Rates, Refused, Reserve, User, Verdict

MAX_USERS = 100_000
"""How many users' last verdicts are kept, the most recent ones (chosen: about 50 MB)."""

Part = tuple[Holder, str]
"""A level, and a model or "" for its window over all models."""


class Heard(NamedTuple):
    """The last verdict about one level, and the time (seconds) when it came."""

    quotas: Quotas
    at_s: float
    concurrency: int | None = None
    reserve: Reserve | None = None
    group: str = ""

    def used(self, kinds: Sequence[LimitKind], count: int) -> Amounts:
        """Return a `count`-th of what all had used of each kind."""
        return NOTHING._replace(**{kind.unit: math.ceil(self.quotas[kind].used / count) for kind in kinds})


class LastHeard:
    """The last verdicts by level, those that came last remembered longest."""

    def __init__(self) -> None:
        self._heard: dict[Part, Heard] = {}

    def remember(self, charge: Charge, verdict: Verdict, now_s: float) -> None:
        """Note a verdict of the shared limiter."""
        user: Part = ((charge.user,), "")
        before = self._heard.pop(user, None)
        if not charge.user or not isinstance(verdict, Admitted | Refused):
            return
        reserve = before.reserve if before is not None else None
        group = before.group if before is not None else ""
        if isinstance(verdict, Admitted):
            group = verdict.reservation.group
            if charge.bounds is not None:
                reserve = "maximum" if verdict.reservation.is_hard else "expected"
        heard = self._heard[user] = Heard(verdict.quotas, now_s, verdict.concurrency, reserve, group)
        for kinds, part in (
            (MODEL_KINDS, (user[0], charge.model)),
            (LEVEL_KINDS[KEY][0], ((charge.user, charge.key), "")),
            (LEVEL_KINDS[GROUP][0], (("", group), "")),
        ):
            if kinds[0] in verdict.quotas and part[0][-1]:  # all of them are there, or none
                self._heard.pop(part, None)
                self._heard[part] = heard
        while len(self._heard) > MAX_USERS:
            del self._heard[next(iter(self._heard))]

    def of(self, holder: Holder, model: str = "") -> Heard | None:
        """Return what was last heard of a level, or of a user's requests for a model."""
        return self._heard.get((holder, model))


def user_of(name: str, heard: Heard) -> User:
    """Return the user of a verdict, without models."""
    policy = policy_of(USER, heard)
    return User(
        name, policy.rpm, policy.tpm, heard.concurrency, {}, policy.budgets, reserve=heard.reserve, group=heard.group
    )


def policy_of(scope: Scope, heard: Heard) -> Policy:
    """Return the limits of a level that a verdict told."""
    window, budgets, _ = LEVEL_KINDS[scope]
    limits = {kind: heard.quotas[kind].limit for kind in budgets if kind in heard.quotas}
    of_periods = {kind.field: limit for kind, limit in limits.items() if limit is not None}
    return Policy(**_limits(heard, window), budgets=of_periods)


def with_model(user: User, model: str, heard: Heard) -> User:
    """Return the user with the limits for one more model."""
    return replace(user, models={**user.models, model: Rates(**_limits(heard, MODEL_KINDS))})


def _limits(heard: Heard, kinds: Sequence[LimitKind]) -> dict[str, Any]:
    """Return the limits that a verdict told, by the names of their fields."""
    return {kind.field: heard.quotas[kind].limit for kind in kinds}
