"""The arguments and replies of the scripts in lua/ about charges and reservations.

Lives here: putting them together and reading them.  Not here: sending them (limiter), keys (names).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from ratelimit.kinds import (
    GROUP,
    KEY,
    LEVEL_KINDS,
    LEVELS,
    LIMIT_KINDS,
    MODEL_KINDS,
    NOTHING,
    UNITS,
    USER,
    Amounts,
    LimitKind,
    Scope,
)
from ratelimit.limits import (
    MAX_LIMIT,
    Admitted,
    Charge,
    MalformedUserError,
    Quota,
    Refused,
    Reservation,
    Reserve,
    UnknownUser,
)
from ratelimit.redis.batching import Reply
from ratelimit.redis.connection import Argument
from ratelimit.window import Obstacle, refused

REFUSED, ADMITTED, UNKNOWN, MALFORMED, OTHERWISE = range(5)
"""The first number of a reply; `OTHERWISE`: the record wants another charge."""

_KINDS = {kind.name: kind for kind in LIMIT_KINDS}
_CHARGED_FROM = 5  # where a reply of lua/reserve.lua tells the amounts that it charges
_SHOWN_FROM = _CHARGED_FROM + len(UNITS)  # where it begins to show the windows
_OF_MODEL, _OF_GROUP = 1, 4  # bits of `levels` in that reply; those of budgets and permits are _BUDGETS and _PERMITS
_BITS = dict(zip(LEVELS, (1, 2, 4), strict=True))  # of the windows of levels; the user's has none
_BUDGETS, _PERMITS = 8, 32  # times a level's bit: it has budgets, it has permits


def reserve_arguments(charge: Charge, reserve: Reserve | None, group: str) -> list[Argument]:
    """Return how a charge goes on after `rps` in lua/reserve.lua; `reserve` is how its user's record wants it.

    `group` is the one that was charged on another node.
    """
    bounds = charge.bounds
    is_hard = bounds is not None and (reserve or charge.reserve) == "maximum"
    if bounds is not None and is_hard:
        amounts, certain = bounds.granting(bounds.most.tokens), bounds.prompt
    else:
        amounts, certain = charge.amounts, charge.certain or charge.amounts
    if max(amounts) > MAX_LIMIT or max(certain) > MAX_LIMIT:
        amounts, certain = clamped(amounts), clamped(certain)
    arguments: list[Argument] = [*amounts.window, *certain.window]
    if charge.key or reserve or group or amounts.cost or charge.reserve == "maximum":
        mode = "maximum" if is_hard else "any" if bounds is None else "expected"
        price = repr(bounds.token_cost) if bounds is not None else "0"
        arguments += (charge.key, mode, charge.reserve, amounts.cost, certain.cost, price, group)
    return arguments


def read_verdict(
    charge: Charge, reply: Reply, *, taken: bool, scope: Scope = USER, is_hard: bool = False
) -> Admitted | Refused | UnknownUser:
    """Read a reply of lua/reserve.lua about a level, the user or a group by itself.  Raises MalformedUserError."""
    status = reply[0]
    if status == UNKNOWN:
        return UnknownUser(charge.user)
    if status == MALFORMED:
        raise MalformedUserError(charge.user)
    concurrency, levels, slot = reply[2:_CHARGED_FROM]
    group = reply.pop().decode() if levels & _OF_GROUP else ""
    kinds = _shown_kinds(levels, scope)
    counted = quotas(reply, _SHOWN_FROM, kinds)
    permits = None if concurrency < 0 else concurrency
    if status == REFUSED:
        return refused(obstacles(reply[_SHOWN_FROM + 3 * len(kinds) :], scope), counted, permits)
    amounts = Amounts(*reply[_CHARGED_FROM:_SHOWN_FROM])
    slot = slot if taken else 0
    own_permit = () if permits is None else (scope,)
    if levels <= _OF_MODEL and not is_hard:
        reservation = Reservation(charge.user, slot, amounts, charge.model if levels else "", own_permit)
        return Admitted(reservation, counted, permits)
    reservation = Reservation(
        charge.user,
        slot,
        amounts,
        charge.model if levels & _OF_MODEL else "",
        own_permit + tuple(each for each in LEVELS[1:] if levels & _PERMITS * _BITS[each]),
        key=charge.key if levels & _BITS[KEY] else "",
        group=group,
        group_slot=slot if group else 0,
        budgets=tuple(scope if each is USER else each for each in LEVELS if levels & _BUDGETS * _BITS[each]),
        is_hard=is_hard,
    )
    return Admitted(reservation, counted, permits)


@lru_cache(maxsize=1024)
def _shown_kinds(levels: int, scope: Scope) -> tuple[LimitKind, ...]:
    """Return the kinds that a reply shows, in their order there."""
    kinds = LEVEL_KINDS[scope][0]
    if levels & _OF_MODEL:
        kinds += MODEL_KINDS
    for each in (KEY, GROUP):
        if levels & _BITS[each]:
            kinds += LEVEL_KINDS[each][0]
    for each in LEVELS:
        if levels & _BUDGETS * _BITS[each]:
            kinds += LEVEL_KINDS[scope if each is USER else each][1]
    return kinds


def quotas(reply: Reply, first: int, kinds: Sequence[LimitKind]) -> dict[LimitKind, Quota]:
    """Read the limit, the use and the microseconds to its reset of each kind, from `first` on."""
    shown = {}
    for kind in kinds:
        limit, used, reset_us = reply[first : first + 3]
        shown[kind] = Quota(None if limit < 0 else limit, used, reset_us / 1e6)
        first += 3
    return shown


def obstacles(found: Reply, scope: Scope = USER) -> list[Obstacle]:
    """Read the name, the limit and the microseconds of each; -1 = for ever."""
    return [
        Obstacle(_KINDS[scope.prefix + name.decode()], limit, wait_us / 1e6 if wait_us >= 0 else None)
        for name, limit, wait_us in zip(found[::3], found[1::3], found[2::3], strict=True)
    ]


def clamped(amounts: Amounts) -> Amounts:
    """Return amounts that Lua holds exactly."""
    return Amounts(*[max(-MAX_LIMIT, min(amount, MAX_LIMIT)) for amount in amounts])


def corrections(slot: int, windows: int, changes: Mapping[str, Amounts]) -> list[Argument]:
    """Return what lua/settle.lua takes: the slot, and of each request that changes anything its id and the amounts."""
    arguments: list[Argument] = [slot, windows]
    for request, change in changes.items():
        if change != NOTHING:
            arguments.append(request)
            arguments += clamped(change)
    return arguments
