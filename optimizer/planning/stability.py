"""Stability: which replicas of a plan are taken at once and which later.

Up at once.  Down when several plans in a row agree, and only as far as the replicas that stay and are ready would carry
the highest load that these plans were made for, not used to the full unless plans agree for longer.  So an old GPU type
goes when the new one is ready (make before break), and a load next to what one replica less carries changes nothing at
first.  A release that is soon regretted doubles the number of plans that must agree on the next one, and one that lasts
halves it again: noise around such a load changes little.

Where a limit leaves no room for both, as on the last GPUs of a type, the plan is taken at once.

Lives here: the memory of plans and releases, and the check of those that stay.  Not here: plans.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import fsum

from optimizer.solver.case import Case
from optimizer.solver.linear import Budget
from optimizer.solver.serving import least_lost
from optimizer.solver.shares import TIME_S, fitted

PATIENCE = 5
"""After so many times the plans that must agree, those that stay may be used to the full (chosen: a few minutes)."""

Counts = Mapping[str, int]
"""Replicas by deployment."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Replicas to publish, and why some are not released yet, one sentence each."""

    replicas: Counts
    held: tuple[str, ...] = ()


class Stability:
    """Remembers plans; `agreeing` of them must agree on a release, and up to `most` after releases were regretted."""

    def __init__(self, agreeing: int, most: int, survivors_utilisation: float) -> None:
        self._agreeing, self._most, self._utilisation = agreeing, max(agreeing, most), survivors_utilisation
        self._kept = max(self._most, PATIENCE * agreeing)
        self._wanted: list[Counts] = []
        self._rates: list[float] = []
        self._regrets: dict[str, _Regret] = {}

    def forget(self) -> None:
        """Forget the plans, but not what was regretted."""
        self._wanted, self._rates = [], []

    def settle(self, case: Case, wanted: Counts, in_force: Counts, ready: Counts) -> Settled:
        """Return what to publish for a plan that wants these replicas of the case's types."""
        self._wanted = [*self._wanted, wanted][-self._kept :]
        self._rates = [*self._rates, fsum(case.rates)][-self._kept :]
        counts = {key: max(in_force[key], n) for key, n in wanted.items()}
        held = []
        for gpu in sorted(case.types, key=lambda gpu: -gpu.cost):
            key, since = gpu.name, in_force[gpu.name]
            agreeing = self._agreeing_on(key, more=wanted[key] > since)
            lowest = self._agreed(key, since, agreeing)
            survivors = self._survivors(case, agreeing, self._utilisation, ready)
            if lowest < since:
                counts[key] = survivors.fewest(counts, key, lowest)
            patient = min(PATIENCE * agreeing, self._kept)
            sure = self._agreed(key, counts[key], patient)
            if sure < counts[key]:
                counts[key] = self._survivors(case, patient, 1.0, ready).fewest(counts, key, sure)
            if counts[key] > max(lowest, wanted[key]):
                held.append(f"{key}: {counts[key]} to {lowest} replicas waits: {survivors.why(counts, key, lowest)}")
            elif counts[key] > wanted[key]:
                more = self._more(key, counts[key], agreeing)
                held.append(f"{key}: {counts[key]} to {wanted[key]} replicas waits for {more}")
            if counts[key] < since:
                self._regrets[key] = _Regret(agreeing)
        if not case.allows([counts[gpu.name] for gpu in case.types]):
            return Settled(
                wanted, ("there is no room to keep replicas until others are ready: the plan is taken at once",)
            )
        return Settled(counts, tuple(held))

    def _agreeing_on(self, key: str, *, more: bool) -> int:
        """Return how many plans must agree on a release, given whether the plan wants more than there is."""
        regret = self._regrets.get(key)
        if regret is None:
            return self._agreeing
        regret.age += 1
        if more and not regret.is_regretted:
            regret.agreeing, regret.is_regretted = min(2 * regret.agreeing, self._most), True
        if regret.age > self._most:
            self._regrets[key] = _Regret(max(self._agreeing, regret.agreeing // 2), is_regretted=True)
        return regret.agreeing

    def _agreed(self, key: str, since: int, agreeing: int) -> int:
        """Return the replicas that the last plans agree on, `since` while there are too few."""
        if len(self._wanted) < agreeing:
            return since
        return max(wanted.get(key, since) for wanted in self._wanted[-agreeing:])

    def _more(self, key: str, since: int, agreeing: int) -> str:
        agree = 0
        for wanted in reversed(self._wanted):
            if wanted.get(key, since) >= since:
                break
            agree += 1
        more = agreeing - agree
        return f"{more} more plan{'s' if more > 1 else ''} that agree{'' if more > 1 else 's'}"

    def _survivors(self, case: Case, plans: int, utilisation: float, ready: Counts) -> "_Survivors":
        """Return the check at the highest rate of the last plans, and at a utilisation."""
        rate = fsum(case.rates)
        growth = max(self._rates[-plans:]) / rate if rate > 0 else 1.0
        return _Survivors(replace(case, headroom=case.headroom * growth / utilisation), ready)


@dataclass(slots=True)
class _Regret:
    """The last release of a type: how many plans had to agree on it, and on the next one."""

    agreeing: int
    age: int = 0
    """Plans since."""
    is_regretted: bool = False
    """Whether a plan has wanted the replicas back, or did not within the most plans."""


class _Survivors:
    """Whether the replicas that stay and are ready carry a case."""

    def __init__(self, case: Case, ready: Counts) -> None:
        self._case, self._ready = case, ready
        self._lost: float | None = None

    def fewest(self, counts: Counts, key: str, lowest: int) -> int:
        """Return the fewest replicas of a type, `lowest` or more, with which all carry the case; else what it has."""
        low, high = lowest, counts[key]
        while low < high:
            middle = low if low == lowest and high == counts[key] else (low + high) // 2
            if self._carry({**counts, key: middle}, self._ready):
                high = middle
            else:
                low = middle + 1
        return high

    def why(self, counts: Counts, key: str, lowest: int) -> str:
        """Return what keeps a type from having `lowest` replicas."""
        fewer = {**counts, key: lowest}
        if not self._carry(fewer, fewer):
            return "those that stay would be used too much"
        late = [f"{name} has {self._ready[name]} of {n} ready" for name, n in fewer.items() if self._ready[name] < n]
        return ", ".join(late)

    def _carry(self, counts: Counts, ready: Counts) -> bool:
        if self._lost is None:
            self._lost = least_lost(self._case, Budget(TIME_S))
        serving = [min(counts[gpu.name], ready[gpu.name]) for gpu in self._case.types]
        return fitted(self._case, serving, self._lost) is not None
