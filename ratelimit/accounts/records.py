"""Records of users, groups and API keys' limits: JSON, as Redis holds them and scripts read them (lua/).

Lives here: writing and reading them, pure.  Not here: where they are stored (users, groups, keys).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ratelimit.kinds import MODEL_KINDS, NANO, USER_BUDGETS, USER_FIELDS, LimitKind
from ratelimit.limits import MAX_LIMIT, Policy, Rates, User, shown_limits

_OURS = frozenset({"name", "models", "budgets", "reserve", "group", *(kind.field for kind in USER_FIELDS)})
"""The fields of a record that belong to us; others are other tools'."""
_RESERVES = (None, "expected", "maximum")


def user_record(user: User, others: Mapping[str, Any]) -> bytes:
    """Return what is stored: the user's limits among the fields of other tools."""
    fields = {key: value for key, value in others.items() if key not in _OURS}
    fields |= {"name": user.name, **shown_limits(user, USER_FIELDS)}
    if user.models:
        fields["models"] = {model: shown_limits(rates, MODEL_KINDS) for model, rates in user.models.items()}
    settings = {"budgets": shown_budgets(user.budgets), "reserve": user.reserve, "group": user.group}
    fields |= {name: value for name, value in settings.items() if value}
    return json.dumps(fields, ensure_ascii=False).encode()


def policy_record(policy: Policy, **names: str) -> bytes:
    """Return the record of a group or of a key's limits."""
    return json.dumps({**names, **shown_policy(policy)}, ensure_ascii=False).encode()


def shown_policy(policy: Policy) -> dict[str, Any]:
    """Return the limits that a policy has, as records and REST answers have them."""
    limits = {kind.field: limit for kind in USER_FIELDS if (limit := getattr(policy, kind.field)) is not None}
    return {**limits, "budgets": shown_budgets(policy.budgets)} if policy.budgets else limits


def shown_budgets(budgets: Mapping[str, int]) -> dict[str, int | float]:
    """Return budgets by their fields, money in the currency's unit."""
    return {kind.field: kind.shown(budgets[kind.field]) for kind in USER_BUDGETS if kind.field in budgets}


def read_user(name: str, stored: bytes | str | None) -> User | None:
    """Read a user's record as lua/window.lua does; None = malformed."""
    fields = fields_of(stored)
    models = None if fields is None else fields.get("models") or {}
    if fields is None or not isinstance(models, dict):
        return None
    reserve, group = fields.get("reserve"), fields.get("group") or ""
    if reserve not in _RESERVES or not isinstance(group, str):
        return None
    try:
        rates = {model: Rates(**_limits(limits, MODEL_KINDS)) for model, limits in models.items()}
        limits = _limits(fields, USER_FIELDS)
        return User(name, **limits, models=rates, budgets=_budgets(fields), reserve=reserve, group=group)
    except ValueError:
        return None


def read_policy(stored: bytes | str | None) -> Policy | None:
    """Read the limits of a group or a key; None = malformed."""
    fields = fields_of(stored)
    if fields is None:
        return None
    try:
        return Policy(**_limits(fields, USER_FIELDS), budgets=_budgets(fields))
    except ValueError:
        return None


def fields_of(stored: bytes | str | None) -> dict[str, Any] | None:
    """Return the members of a record; None = it is no JSON object."""
    try:
        fields = json.loads(stored or b"")
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _limits(stored: Any, kinds: Sequence[LimitKind]) -> dict[str, Any]:
    """Read the limits by the names of their fields.  Raises ValueError for anything that is no limit."""
    if not isinstance(stored, dict):
        raise ValueError(stored)
    return {kind.field: _limit(stored.get(kind.field)) for kind in kinds}


def _limit(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_LIMIT:
        raise ValueError(value)
    if value != int(value):  # a JSON number without a fraction, written either way (100, 1e2)
        raise ValueError(value)
    return int(value)


def _budgets(fields: Mapping[str, Any]) -> dict[str, int]:
    """Read the budgets, money in NANO of its unit.  Raises ValueError."""
    stored = fields.get("budgets")
    if stored is None:
        return {}
    if not isinstance(stored, dict):
        raise ValueError(stored)
    limits = {kind.field: _budget(kind, stored.get(kind.field)) for kind in USER_BUDGETS}
    return {field: limit for field, limit in limits.items() if limit is not None}


def _budget(kind: LimitKind, value: object) -> int | None:
    if kind.unit != "cost" or value is None:
        return _limit(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_LIMIT / NANO:
        raise ValueError(value)
    return round(value * NANO)
