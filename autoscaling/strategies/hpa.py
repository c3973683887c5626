"""HPA, the arithmetic of Kubernetes' HorizontalPodAutoscaler, for where no Kubernetes does it.

    ratio = mean of the metric over pods / target; within the tolerance nothing changes
    desired = ceil(ratio x pods); pods without a value count as the target below 1 and as 0 above it, pods that are not
    ready as 0 above 1; a result that turns the direction changes nothing
    of several metrics the largest; one that is missing forbids shrinking
    desired falls to the largest of 300 s, and at most doubles (or 4) in one step, or keeps to policies

Source: Kubernetes v1.36.3, pkg/controller/podautoscaler (replica_calculator.go, horizontal.go), which computes in whole
thousandths.  Policies are those that AIBrix's main writes into its HPA for rates.

Lives here: the decision.  Not here: the objects that have Kubernetes do this (controllers.podautoscaler).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, nextafter
from typing import Any

import msgspec

from autoscaling.bounds import Bounds, bounds_at
from autoscaling.decision import Decision
from autoscaling.metering import kept
from autoscaling.observation import Observation
from autoscaling.options import settings
from autoscaling.readings import external_value, pod_values
from autoscaling.spec import Source, SourceKind, Spec
from autoscaling.states import dumped, loaded
from autoscaling.windows import PeakWindow, Samples

INTERVAL_S = 15.0
"""Seconds between decisions (--horizontal-pod-autoscaler-sync-period)."""
LEAST = 1
"""Fewest replicas of an HPA."""
STEP_FACTOR, STEP_PODS = 2, 4
"""One step at most doubles, or goes to four pods (scaleUpLimitFactor and scaleUpLimitMinimum)."""
RATE_PERIOD_S = 60.0
"""Period of the policies that follow from rates (AIBrix's main)."""
DEFAULT_PERIOD_S, DEFAULT_PODS, DEFAULT_PERCENT = 15.0, 4, 100
"""The default policies, which hold where only delays are given."""
_MILLI = 1000
_NOISE_DIGITS = 6
"""Thousandths are rounded up, after the noise of binary fractions."""
_HUNDRED = 100


@dataclass(frozen=True, slots=True)
class HpaSettings:
    """Settings, with the defaults of kube-controller-manager."""

    up_tolerance: float = 0.1
    """Share above the target at which nothing is raised yet."""
    down_tolerance: float = 0.1
    """Share below the target at which nothing is lowered yet."""
    scale_up_delay_s: float = 0.0
    """Replicas rise to the smallest recommendation of the last so many seconds."""
    scale_down_delay_s: float = 300.0
    """Replicas fall to the largest recommendation of the last so many seconds."""
    max_up_rate: float = 0.0
    """At most so many times the replicas in a minute; 0 = at most twice the replicas, or 4, in one step."""
    max_down_rate: float = 0.0
    """At least the replicas divided by this in a minute; 0 = no limit."""

    def is_within(self, ratio: float) -> bool:
        """Tell whether a use of `ratio` times the target changes nothing."""
        return 1.0 - self.down_tolerance <= ratio <= 1.0 + self.up_tolerance


class _State(msgspec.Struct, forbid_unknown_fields=True):
    largest: Samples
    smallest: Samples
    changes: Samples


def milli(value: float) -> int:
    """Return thousandths of a value, rounded up, as Kubernetes' quantities have them."""
    return ceil(round(value * _MILLI, _NOISE_DIGITS))


def replicas_of_pods(
    values: Sequence[int], *, missing: int, unready: int, current: int, target: int, chosen: HpaSettings
) -> int:
    """Return the replicas for a metric of pods, in thousandths; `values` of ready pods are not empty."""
    ratio = _ratio(values, target)
    with_unready = unready > 0 and ratio > 1
    if not with_unready and not missing:
        return current if chosen.is_within(ratio) else ceil(ratio * len(values))
    filled = list(values)
    if ratio != 1:
        filled += [target if ratio < 1 else 0] * missing
    if with_unready:
        filled += [0] * unready
    again = _ratio(filled, target)
    if chosen.is_within(again) or (ratio < 1 < again) or (again < 1 < ratio):
        return current
    desired = ceil(again * len(filled))
    return current if (again < 1 and desired > current) or (again > 1 and desired < current) else desired


def replicas_of_whole(value: int, *, current: int, target: int, chosen: HpaSettings) -> int:
    """Return the replicas for a metric of the whole target, of which each replica bears `target`; in thousandths."""
    ratio = value / (target * current) if current else inf
    return current if chosen.is_within(ratio) else ceil(value / target)


def _use(observation: Observation, source: Source) -> str:
    if source.kind is SourceKind.EXTERNAL:
        return f"{external_value(observation, source.metric):g}"
    values = pod_values(observation, source.metric)
    return f"{sum(values) / len(values):g} per pod"


def _ratio(values: Sequence[int], target: int) -> float:
    return sum(values) // len(values) / target


class Hpa:
    """Decides for one target."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._settings = settings(HpaSettings, spec.options)
        behavior = {"scale-up-delay", "scale-down-delay", "max-scale-up-rate", "max-scale-down-rate"}
        self._has_behavior = bool(behavior & spec.options.keys())
        delay_s = self._settings.scale_down_delay_s
        # Without `behavior` a recommendation that is exactly as old still counts.
        self._largest = PeakWindow(delay_s if self._has_behavior else nextafter(delay_s, inf))
        self._smallest = PeakWindow(self._settings.scale_up_delay_s, -1)
        self._changes: list[tuple[float, float]] = []  # times and changes of replicas
        self._has_begun = False
        self.memory_s = delay_s

    def decide(self, observation: Observation) -> Decision:
        """Return the replicas, within bounds as the HPA object would have them."""
        now_s, current = observation.now_s, observation.ordered
        bounds = bounds_at(self._spec, now_s)
        bounds = Bounds(max(LEAST, bounds.least), max(LEAST, bounds.most))
        if not self._has_begun:
            self._remember(now_s, current)
            self._has_begun = True
        if current == 0:
            return Decision(0, "an HPA does nothing for a target without replicas", now_s + INTERVAL_S)
        if bounds.clamp(current) != current:
            return self._decided(observation, bounds.clamp(current), "outside of the bounds")
        known, missing = self._recommendations(observation)
        wish, source = max(known, key=lambda each: each[0], default=(0, None))
        if source is None or (missing and wish < current):
            return kept(observation, missing, INTERVAL_S)
        desired = self._limited(now_s, current, self._stabilized(now_s, current, wish), bounds)
        reason = (
            f"{source.metric} {_use(observation, source)} / target {source.target:g} recommends {wish} of {current}"
        )
        limited = f"; {desired} after delays and limits" if desired != wish else ""
        return self._decided(observation, desired, reason + limited)

    def state(self) -> dict[str, Any]:
        """Return the recommendations and changes of late."""
        return dumped(_State(self._largest.state(), self._smallest.state(), self._changes))

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state.  Raises ValueError where it is none."""
        held = loaded(_State, state, "HPA")
        self._largest.restore(held.largest)
        self._smallest.restore(held.smallest)
        self._changes, self._has_begun = list(held.changes), True

    def _recommendations(self, observation: Observation) -> tuple[list[tuple[int, Source]], str]:
        """Return what each metric asks for, and the names of those that are missing."""
        wishes = [(self._wish(observation, source), source) for source in self._spec.sources]
        known = [(wish, source) for wish, source in wishes if wish is not None]
        return known, ", ".join(source.metric for wish, source in wishes if wish is None)

    def _wish(self, observation: Observation, source: Source) -> int | None:
        """Return the replicas for one metric, None where it is missing."""
        current, target = observation.ordered, max(1, milli(source.target))
        if source.kind is SourceKind.EXTERNAL:
            value = external_value(observation, source.metric)
            if value is None:
                return None
            return replicas_of_whole(milli(value), current=current, target=target, chosen=self._settings)
        values = [milli(value) for value in pod_values(observation, source.metric)]
        if not values:
            return None
        missing, unready = max(0, observation.ready - len(values)), observation.starting or 0
        return replicas_of_pods(
            values, missing=missing, unready=unready, current=current, target=target, chosen=self._settings
        )

    def _remember(self, now_s: float, recommendation: int) -> None:
        self._largest.record(now_s, recommendation)
        self._smallest.record(now_s, recommendation)

    def _stabilized(self, now_s: float, current: int, wish: int) -> int:
        """Return a recommendation within the extremes of late."""
        highest = int(self._largest.peak(now_s, wish))
        lowest = int(self._smallest.peak(now_s, wish)) if self._has_behavior else wish
        self._remember(now_s, wish)
        return min(max(current, lowest), highest) if self._has_behavior else highest

    def _limited(self, now_s: float, current: int, desired: int, bounds: Bounds) -> int:
        """Return a number of replicas within the limits of change and the bounds."""
        if not self._has_behavior:
            return min(bounds.clamp(desired), max(STEP_FACTOR * current, STEP_PODS))
        if desired > current:
            return min(desired, bounds.most, max(current, self._most(now_s, current)))
        return max(desired, bounds.least, min(current, self._fewest(now_s, current)))

    def _most(self, now_s: float, current: int) -> int:
        """Return what the policies allow to rise to."""
        if self._settings.max_up_rate:
            percent = int((self._settings.max_up_rate - 1) * _HUNDRED)
            return ceil(self._start(now_s, current, RATE_PERIOD_S) * (1 + percent / _HUNDRED))
        start = self._start(now_s, current, DEFAULT_PERIOD_S)
        return max(start + DEFAULT_PODS, ceil(start * (1 + DEFAULT_PERCENT / _HUNDRED)))

    def _fewest(self, now_s: float, current: int) -> int:
        """Return what the policies allow to fall to."""
        if not self._settings.max_down_rate:
            return 0
        percent = int((1 - 1 / self._settings.max_down_rate) * _HUNDRED)
        return int(self._start(now_s, current, RATE_PERIOD_S) * (1 - percent / _HUNDRED))

    def _start(self, now_s: float, current: int, period_s: float) -> int:
        """Return the replicas that there were at the start of a period."""
        return current - int(sum(change for at_s, change in self._changes if now_s - at_s < period_s))

    def _decided(self, observation: Observation, desired: int, reason: str) -> Decision:
        now_s, change = observation.now_s, desired - observation.ordered
        if change:
            self._changes = [each for each in self._changes if now_s - each[0] < RATE_PERIOD_S] + [(now_s, change)]
        return Decision(desired, reason, now_s + INTERVAL_S)
