"""The table of strategies, and the rules around all of them: wakes, a lost past, schedules and bounds.

Lives here: from a specification to something that decides.  Not here: the strategies, reading specifications
(spec_reading).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import msgspec

from autoscaling.bounds import bounds_at
from autoscaling.decision import Decision, Strategy
from autoscaling.observation import Observation
from autoscaling.options import settings
from autoscaling.slo.strategy import Slo
from autoscaling.spec import REPLICAS_METRIC, Spec, StrategyName
from autoscaling.states import dumped, loaded
from autoscaling.strategies.apa import Apa
from autoscaling.strategies.counts import Counts
from autoscaling.strategies.hpa import Hpa
from autoscaling.strategies.kpa import Kpa


class Remembering(Strategy, Protocol):
    """A strategy that says how much of the past it decides from; its decisions need not keep to bounds."""

    memory_s: float
    """Seconds of observations without which it should shrink nothing."""


STRATEGIES: Mapping[StrategyName, Callable[[Spec], Remembering]] = {
    StrategyName.HPA: Hpa,
    StrategyName.KPA: Kpa,
    StrategyName.APA: Apa,
    StrategyName.SLO: Slo,
}
"""The strategies that there are; one metric that is a number of replicas goes before them all but HPA."""


@dataclass(frozen=True, slots=True)
class _Waking:
    activation_scale: int = 1
    """Replicas that a target without any is woken with."""


class _State(msgspec.Struct, forbid_unknown_fields=True):
    at_s: float
    next_s: float
    known_since_s: float | None
    strategy: str
    inner: dict[str, Any]
    is_awake: bool
    idle_from_s: float | None


def autoscaler(spec: Spec, *, is_cold: bool = False) -> "Autoscaler":
    """Return what decides for a specification.

    `is_cold` says that the target was scaled before and its past is lost: then nothing shrinks before the strategy has
    seen as much as it decides from.
    """
    return Autoscaler(spec, _strategy(spec), is_cold=is_cold)


def _strategy(spec: Spec) -> Remembering:
    is_count = spec.strategy in (StrategyName.KPA, StrategyName.APA) and spec.sources[0].metric == REPLICAS_METRIC
    return Counts(spec) if is_count else STRATEGIES[spec.strategy](spec)


class Autoscaler:
    """Decides for one target by a strategy, within bounds and schedules, awake for requests that wait."""

    def __init__(self, spec: Spec, strategy: Remembering, *, is_cold: bool) -> None:
        self._spec, self._strategy, self._is_cold = spec, strategy, is_cold
        self._activation = settings(_Waking, spec.options).activation_scale
        self._known_since_s: float | None = None  # None = there was no past
        self._is_awake = False  # since a wake, until it was ready for long enough
        self._idle_from_s: float | None = None  # from when a target that was woken may be idle
        self._at_s: float | None = None
        self._next_s = 0.0  # when the decision after that one was to be

    def decide(self, observation: Observation) -> Decision:
        """Return the replicas to have, within the bounds that hold now."""
        now_s = observation.now_s
        self._learn_gap(now_s)
        decision = self._strategy.decide(observation)
        decision = self._awake(observation, decision)
        decision = self._not_blind(observation, decision)
        self._at_s, self._next_s = now_s, decision.next_s
        bounds = bounds_at(self._spec, now_s)
        desired = bounds.clamp(decision.desired)
        if desired == decision.desired:
            return decision
        of = f"schedule {bounds.schedule}" if bounds.schedule else "bounds"
        return replace(decision, desired=desired, reason=f"{decision.reason}; {of} {bounds.least} to {bounds.most}")

    def state(self) -> dict[str, Any]:
        """Return what a restart must not lose; empty before the first decision."""
        if self._at_s is None:
            return {}
        name, inner = self._spec.strategy.value, self._strategy.state()
        times = self._at_s, self._next_s, self._known_since_s
        return dumped(_State(*times, name, inner, self._is_awake, self._idle_from_s))

    def restore(self, state: dict[str, Any]) -> None:
        """Take over the state of an earlier process.  Raises ValueError where it is not one of this strategy's."""
        if not state:
            return
        held = loaded(_State, state, "an autoscaler")
        if held.strategy != self._spec.strategy:
            raise ValueError(f"a state of strategy {held.strategy}, not of {self._spec.strategy}")
        self._strategy.restore(held.inner)
        self._at_s, self._next_s = held.at_s, held.next_s
        self._known_since_s, self._is_cold = held.known_since_s, False
        self._is_awake, self._idle_from_s = held.is_awake, held.idle_from_s

    def _learn_gap(self, now_s: float) -> None:
        """After a gap as long as the memory the past is unknown again; the time between two decisions is none."""
        has_gap = self._at_s is not None and now_s - max(self._at_s, self._next_s) > self._strategy.memory_s > 0
        if self._is_cold or has_gap:
            self._known_since_s, self._is_cold = now_s, False

    def _not_blind(self, observation: Observation, decision: Decision) -> Decision:
        """Shrink nothing before as much was seen as the strategy decides from, where the past was lost."""
        if self._known_since_s is None or decision.desired >= observation.ordered:
            return decision
        seen_s = observation.now_s - self._known_since_s
        if seen_s >= self._strategy.memory_s:
            return decision
        why = f"{decision.reason}; kept, because only {seen_s:g} of {self._strategy.memory_s:g} s were seen"
        return replace(decision, desired=observation.ordered, reason=why)

    def _awake(self, observation: Observation, decision: Decision) -> Decision:
        """Keep a woken target up until it was ready for as long as the strategy remembers."""
        if self._spec.strategy is StrategyName.HPA:
            return decision
        if observation.wakes and observation.ready == 0:
            self._is_awake, self._idle_from_s = True, None
        if self._is_awake and self._idle_from_s is None and observation.ready > 0:
            self._idle_from_s = observation.now_s + self._strategy.memory_s
        if self._idle_from_s is not None and observation.now_s >= self._idle_from_s:
            self._is_awake, self._idle_from_s = False, None
        if not self._is_awake or decision.desired >= self._activation:
            return decision
        return replace(decision, desired=self._activation, reason=f"woken by requests that wait; {decision.reason}")
