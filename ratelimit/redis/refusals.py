"""Refusals that Redis would only repeat: who is over a limit per minute is refused here until something can change.

Lives here: which refusals are kept, for how long, and how they age.  Not here: news of changed users (tracking).

A refusal is repeated only while it is what Redis would say: until the oldest slot leaves a window of the user, for the
same charge, or a smaller one when requests were too many.  Settlements and refunds by this replica end it.  Those by
others cannot be seen: they change no refusal for requests, save that a whole request is given back (rare), and may
make room for tokens, so that those are asked for again after TOKENS_S.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from ratelimit.limits import MODEL_KINDS, USER_KINDS, Charge, Quota, Refused

TOKENS_S: Final = 1.0
"""How long a refusal for tokens is believed, in seconds (chosen: one question a second is nothing)."""

MAX_USERS = 10_000
"""Users with refusals; when there are more all are forgotten, which costs a question each (chosen: about 10 MB)."""

_REPEATED = frozenset({*USER_KINDS, *MODEL_KINDS})
"""The limits per minute."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A refusal, the charge that met it, when, and until when it stands."""

    verdict: Refused
    charge: Charge
    at_s: float
    until_s: float


class Refusals:
    """The last refusal of each user and model."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, dict[str, Kept]] = {}

    def __contains__(self, user: str) -> bool:
        return user in self._kept

    def find(self, charge: Charge) -> Refused | None:
        """What Redis would answer, its times counted down; None = it has to be asked."""
        kept = self._kept.get(charge.user, {}).get(charge.model)
        now_s = self._clock()
        if kept is None or now_s >= kept.until_s or charge.rps != kept.charge.rps:
            return None
        smaller = all(mine <= its for mine, its in zip(charge.amounts, kept.charge.amounts, strict=True))
        if charge.amounts != kept.charge.amounts and not (kept.verdict.kind.unit == "requests" and smaller):
            return None
        return _aged(kept.verdict, now_s - kept.at_s)

    def keep(self, charge: Charge, verdict: Refused, leaves_s: float) -> None:
        """Remember a refusal; nothing leaves the user's windows for `leaves_s`."""
        if verdict.kind not in _REPEATED:
            return
        if len(self._kept) >= MAX_USERS:
            self._kept.clear()
        now_s = self._clock()
        until_s = now_s + (leaves_s if verdict.kind.unit == "requests" else min(leaves_s, TOKENS_S))
        self._kept.setdefault(charge.user, {})[charge.model] = Kept(verdict, charge, now_s, until_s)

    def drop(self, user: str | None) -> None:
        """Something about the user changed; None = about anybody."""
        if user is None:
            self._kept.clear()
        else:
            self._kept.pop(user, None)


def _aged(verdict: Refused, passed_s: float) -> Refused:
    retry_after_s = None if verdict.retry_after_s is None else verdict.retry_after_s - passed_s
    quotas = {kind: _sooner(quota, passed_s) for kind, quota in verdict.quotas.items()}
    return replace(verdict, retry_after_s=retry_after_s, quotas=quotas)


def _sooner(quota: Quota, passed_s: float) -> Quota:
    return quota._replace(reset_s=max(0.0, quota.reset_s - passed_s))
