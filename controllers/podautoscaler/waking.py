"""The choice of the target that a wake starts, where several serve the model that requests wait for.

Lives here: the choice, without I/O.  Not here: wakes and promises (traffic.wakes), how many replicas are woken
(autoscaling).  One target is enough for what waits; the others get replicas when their own strategies want them, as by
the optimizer's plan, and what is ordered already, by a plan or by hand, comes before anything that a wake would start.
"""

from typing import NamedTuple

from autoscaling.spec import Target

STUCK_S = 240.0
"""Time after which a wake starts one target more, as the one before did not become ready (chosen: before requests have
waited for the 300 s that gateways let them)."""


class Sleeper(NamedTuple):
    """A target as it was seen last."""

    model: str
    replicas: int
    """Replicas that it should have."""
    ready: int
    cost: float
    """Its price for each replica and hour; infinite where nobody says it."""


class Turns:
    """The targets of all autoscalers, by the models that they serve."""

    def __init__(self) -> None:
        self._seen: dict[Target, Sleeper] = {}
        self._woken: set[Target] = set()  # and not seen since
        self._since_s: dict[str, float] = {}  # since when requests wait for a model, by model

    def see(self, target: Target, sleeper: Sleeper) -> None:
        """Remember what was seen of a target."""
        self._seen[target] = sleeper
        self._woken.discard(target)

    def forget(self, target: Target) -> None:
        """Let go of a target that is not scaled any more, or not there."""
        self._seen.pop(target, None)
        self._woken.discard(target)

    def rest(self, model: str) -> None:
        """Take note that no requests wait for a model."""
        self._since_s.pop(model, None)

    def wakes(self, target: Target, now_s: float) -> bool:
        """Return whether a wake of its model is for this target: the cheapest, of equals the first by name.

        One that was ordered or woken is before the cheapest, and while one is ready none is woken.
        """
        model = self._seen[target].model
        rivals = {one: seen for one, seen in self._seen.items() if seen.model == model}
        if any(seen.ready for seen in rivals.values()):
            self.rest(model)
            return False
        waited_s = max(0.0, now_s - self._since_s.setdefault(model, now_s))
        order = sorted(rivals, key=lambda one: (not self._comes(one), rivals[one].cost, one.name, one.namespace))
        is_chosen = target in order[: 1 + int(waited_s // STUCK_S)]
        if is_chosen:
            self._woken.add(target)
        return is_chosen

    def _comes(self, target: Target) -> bool:
        return self._seen[target].replicas > 0 or target in self._woken
