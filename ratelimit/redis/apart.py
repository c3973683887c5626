"""The limiter on a Redis Cluster, where models and groups are on other nodes than their users.

Lives here: the order in which nodes are asked, and giving back.  Not here: what each node decides (limiter).

They are charged first, and given back when the user is refused.  A user's group is known from what the user's node said
last time; when it says another, what was charged is given back and the charge begins anew.
"""

import contextlib
import math
from collections.abc import Awaitable, Callable

from ratelimit.kinds import GROUP, LEVELS, NOTHING, Amounts
from ratelimit.limits import (
    Admitted,
    Charge,
    Holder,
    LimiterUnavailableError,
    Refused,
    Reservation,
    UnknownUser,
    Verdict,
)
from ratelimit.questions import Question
from ratelimit.redis.cluster import ClusterCalls
from ratelimit.redis.connection import Argument
from ratelimit.redis.limiter import Part, RedisLimiter, part_of
from ratelimit.redis.messages import OTHERWISE, corrections, read_verdict, reserve_arguments
from ratelimit.redis.names import group_key, group_prefix, model_key, period_keys, prefix_of
from ratelimit.redis.scripts import LIMITER_SCRIPTS, RESERVE, RESERVE_APART, RESERVE_APART_COMPAT, SETTLE


class ClusterLimiter(RedisLimiter):
    """A `RedisLimiter` on a cluster; `url` names one of its nodes."""

    def __init__(
        self,
        url: str,
        timeout_s: float,
        clock: Callable[[], float] | None = None,
        *,
        compat: bool = False,
        replica: str = "",
    ) -> None:
        super().__init__(url, timeout_s, clock, compat=compat, replica=replica)
        self._calls = ClusterCalls(url, LIMITER_SCRIPTS, timeout_s)
        self._reserve_script = RESERVE_APART_COMPAT if compat else RESERVE_APART

    def reserve(self, charge: Charge) -> Awaitable[Verdict]:
        """See `Limiter.reserve`."""
        if charge.user and (charge.rps is not None or self._wish(charge).group):
            return Question(self._across_nodes, charge, True)
        return super().reserve(charge)

    def check(self, charge: Charge) -> Awaitable[Verdict]:
        """See `Limiter.check`."""
        if charge.user and (charge.rps is not None or self._wish(charge).group):
            return Question(self._across_nodes, charge, False)
        return super().check(charge)

    async def _across_nodes(self, charge: Charge, takes: bool) -> Verdict:
        charged: list[tuple[Part, Amounts, tuple[Holder, ...]]] = []  # and the levels whose permits were taken
        try:
            verdict = await self._ask_nodes(charge, charged, takes=takes)
        except BaseException:
            await self._give_back(charged)
            raise
        if not isinstance(verdict, Admitted):
            await self._give_back(charged)
        if verdict is None:
            return await (self.reserve(charge) if takes else self.check(charge))
        if takes and isinstance(verdict, Admitted):
            self.take_permits(verdict.reservation)
        return verdict

    async def _give_back(self, charged: list[tuple[Part, Amounts, tuple[Holder, ...]]]) -> None:
        with contextlib.suppress(LimiterUnavailableError):  # what is not given back leaves with its window
            for part, amounts, holders in charged:
                for holder in holders:
                    self._send_permits(holder, None, -1)
                await self._change(part, NOTHING.minus(amounts))

    async def _ask_nodes(
        self, charge: Charge, charged: list[tuple[Part, Amounts, tuple[Holder, ...]]], *, takes: bool
    ) -> Verdict | None:
        """Ask one node after the other; once one refuses, only look.  None = the record wants another charge."""
        group, of_model, of_group = self._wish(charge).group, None, None
        if charge.rps is not None:
            of_model, slot = await self._model_verdict(charge, self._call_model(charge, takes=takes))
            if takes and isinstance(of_model, Admitted):
                charged.append((Part(slot, (model_key(charge.model),)), charge.amounts, ()))
        takes = takes and not isinstance(of_model, Refused)
        if group:
            of_group = await self._of_group(charge, group, takes=takes)
            if takes and isinstance(of_group, Admitted):
                held = of_group.reservation
                charged.append((_group_part(held), held.amounts, tuple(map(held.holder, held.permits))))
        takes = takes and not isinstance(of_group, Refused)
        answer = await self._ask(_within(charge, of_group)._replace(rps=None), takes=takes, group=group)
        if answer[0] == OTHERWISE:
            self._hear_wish(charge, answer)
            verdict = None
        else:
            verdict = _longer(_longer(self._verdict(charge, answer, taken=takes), of_group), of_model)
        if isinstance(of_group, Admitted) and isinstance(verdict, Admitted):
            return await self._joined(verdict, of_group, takes=takes)
        return verdict

    async def _of_group(self, charge: Charge, group: str, *, takes: bool) -> Admitted | Refused | UnknownUser:
        """Ask the group's node, whose script takes the group for a user."""
        is_hard = self._is_hard(charge)
        charge = charge._replace(key="", reserve="maximum" if is_hard else "expected")
        arguments: list[Argument] = [self._time(), "", self._replica, 1 if takes else 0, ""]
        arguments += reserve_arguments(charge, None, "")
        reply = await self._calls.call(RESERVE, (group_key(group), f"{group_prefix(group)}:window"), arguments)
        verdict = read_verdict(charge, reply, taken=takes, scope=GROUP, is_hard=is_hard)
        if isinstance(verdict, Admitted):
            reservation = verdict.reservation._replace(group=group, group_slot=verdict.reservation.slot)
            return verdict._replace(reservation=reservation)
        return verdict

    async def _joined(self, of_user: Admitted, of_group: Admitted, *, takes: bool) -> Admitted:
        """Return one admission; what the user was not granted the group is given back."""
        own, other = of_user.reservation, of_group.reservation
        if takes and own.amounts != other.amounts:
            await self._change(_group_part(other), own.amounts.minus(other.amounts))
        reservation = own._replace(
            group=other.group,
            group_slot=other.group_slot,
            permits=own.permits + other.permits,
            budgets=own.budgets + other.budgets,
        )
        return of_user._replace(reservation=reservation, quotas={**of_user.quotas, **of_group.quotas})

    async def _change(self, part: Part, change: Amounts) -> None:
        arguments = corrections(part.slot, len(part.windows), {"": change})
        await self._calls.call(SETTLE, (*part.windows, *part.periods), arguments)

    def _parts(self, reservation: Reservation) -> list[Part]:
        own = part_of(reservation, LEVELS[:-1])
        return [own, _group_part(reservation)] if reservation.group else [own]


def _group_part(reservation: Reservation) -> Part:
    """Return the part of a reservation that its group's node holds."""
    prefix, slot = prefix_of(reservation.holder(GROUP)), reservation.group_slot
    periods = period_keys(prefix, slot) if GROUP in reservation.budgets else ()
    return Part(slot, (f"{prefix}:window",), periods)


def _within(charge: Charge, of_group: Verdict | None) -> Charge:
    """Return the charge with no more than its group was charged."""
    if not isinstance(of_group, Admitted):
        return charge
    amounts = of_group.reservation.amounts
    if of_group.reservation.is_hard and charge.bounds is not None:
        return charge._replace(bounds=charge.bounds._replace(most=amounts))
    return charge._replace(amounts=amounts, certain=charge.certain or charge.amounts)


def _longer(verdict: Verdict, other: Verdict | None) -> Verdict:
    """Return the verdict that stands: a refusal rather than an admission, of two refusals the one with the longer wait.

    Its quotas are the user's.
    """
    if isinstance(verdict, UnknownUser) or not isinstance(other, Refused):
        return verdict
    if isinstance(verdict, Refused) and _wait_s(verdict) >= _wait_s(other):
        return verdict
    return Refused(other.kind, other.limit, other.retry_after_s, verdict.quotas, verdict.concurrency)


def _wait_s(verdict: Refused) -> float:
    return math.inf if verdict.retry_after_s is None else verdict.retry_after_s
