"""KPA, Knative's autoscaler: the mean over a long window decides, a short one when load jumps (panic).

    stable, panic = ceil(mean of the metric's sum over each window / target), within [floor(r / down), ceil(r x up)]
    panic begins when ceil(panic mean / target) / r >= threshold, and ends a stable window after it was last so
    desired = stable; in panic the largest of both since it began

with r = ready pods, at least 1.  Source: Knative Serving v0.51.0, pkg/autoscaler/scaling/autoscaler.go, with the
defaults of AIBrix v0.2.1.  Deliberate differences are in docs/autoscaling.md.

Lives here: the decision.  Not here: bounds, schedules and wakes (autoscaler), the sum over pods (readings).
"""

from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import msgspec

from autoscaling.decision import Decision
from autoscaling.metering import Meters, kept
from autoscaling.observation import Observation
from autoscaling.options import settings
from autoscaling.readings import replicas_for
from autoscaling.spec import Source, Spec
from autoscaling.states import dumped, loaded
from autoscaling.windows import PeakWindow, Samples, Seconds

INTERVAL_S = 2.0
"""Seconds between decisions (Knative)."""
POD_CAPACITY = 100.0
"""The amount that a pod can bear of the metric, for the burst capacity (AIBrix v0.2.1 has this constant)."""


@dataclass(frozen=True, slots=True)
class KpaSettings:
    """Settings, with the defaults of AIBrix v0.2.1."""

    stable_window_s: float = 60.0
    """Window of the mean that decides in quiet times, in seconds."""
    panic_window_s: float = 10.0
    """Window of the mean that finds jumps, in seconds."""
    panic_threshold: float = 2.0
    """Panic begins where the panic window wants so many times the ready pods."""
    scale_down_delay_s: float = 1800.0
    """Replicas fall to the largest number of the last so many seconds; 0 = at once."""
    activation_scale: int = 1
    """Replicas are none or at least so many."""
    max_up_rate: float = 2.0
    """At most so many times the ready pods in one step."""
    max_down_rate: float = 2.0
    """At least the ready pods divided by this in one step."""
    target_burst_capacity: float = 0.0
    """Burst that should fit without queueing, of the metric; only told in the reason.  0 = not told, -1 = no limit."""


class _State(msgspec.Struct, forbid_unknown_fields=True):
    panic_since_s: float | None
    panic_peak: int
    windows: dict[str, Seconds]
    delay: Samples


@dataclass(frozen=True, slots=True)
class _Need:
    """The replicas that a source asks for, before rates."""

    source: Source
    stable_value: float
    panic_value: float

    @property
    def stable(self) -> int:
        return replicas_for(self.stable_value, self.source.target)

    @property
    def panic(self) -> int:
        return replicas_for(self.panic_value, self.source.target)


class Kpa:
    """Decides for one target."""

    def __init__(self, spec: Spec) -> None:
        self._settings = settings(KpaSettings, spec.options)
        self._meters = Meters(spec.sources, (self._settings.stable_window_s, self._settings.panic_window_s))
        self._delay = PeakWindow(self._settings.scale_down_delay_s)
        self._panic_since_s: float | None = None
        self._panic_peak = 0
        self._has_begun = False
        self.memory_s = max(self._settings.stable_window_s, self._settings.scale_down_delay_s)

    def observe(self, observation: Observation) -> None:
        """Take in the metrics without deciding."""
        self._meters.observe(observation)

    def decide(self, observation: Observation) -> Decision:
        """Return the replicas before bounds; where a metric is missing it may raise but not shrink."""
        now_s, ready = observation.now_s, max(1, observation.ready)
        self.observe(observation)
        if not self._has_begun:
            self._begin(observation)
        needs = [_Need(source, *means) for source, means in self._meters.means(now_s)]
        if not needs:
            return kept(observation, self._meters.missing, INTERVAL_S)
        stable, panic = max(needs, key=lambda need: need.stable), max(needs, key=lambda need: need.panic)
        self._enter_or_leave_panic(now_s, is_over=panic.panic / ready >= self._settings.panic_threshold)
        desired = self._within_rates(stable.stable, observation)
        if self._panic_since_s is not None:
            desired = max(desired, self._within_rates(panic.panic, observation), self._panic_peak)
            self._panic_peak = desired
        if self._meters.missing and desired < observation.ordered:
            return kept(observation, self._meters.missing, INTERVAL_S)
        delayed = desired
        if self._settings.scale_down_delay_s > 0:
            self._delay.record(now_s, desired)
            delayed = int(self._delay.peak(now_s, desired))
        return Decision(delayed, self._reason(observation, stable, panic, desired, delayed), now_s + INTERVAL_S)

    def state(self) -> dict[str, Any]:
        """Return the windows of metrics, the panic and the delay."""
        return dumped(_State(self._panic_since_s, self._panic_peak, self._meters.state(), self._delay.state()))

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state.  Raises ValueError where it is none."""
        held = loaded(_State, state, "KPA")
        self._panic_since_s, self._panic_peak, self._has_begun = held.panic_since_s, held.panic_peak, True
        self._delay.restore(held.delay)
        self._meters.restore(held.windows)

    def _begin(self, observation: Observation) -> None:
        """Begin in panic where there are several pods: the past is unknown, and they may be needed."""
        self._has_begun = True
        self._panic_peak = observation.ready
        if observation.ready > 1:
            self._panic_since_s = observation.now_s

    def _within_rates(self, need: int, observation: Observation) -> int:
        """Return a need within the rates of change, lifted to the activation scale.

        Pods that are starting are not taken back because of the rate that ordered them.
        """
        ready = max(1, observation.ready)
        most = max(ceil(self._settings.max_up_rate * ready), observation.ordered)
        desired = min(max(need, floor(ready / self._settings.max_down_rate)), most)
        return (
            max(desired, self._settings.activation_scale)
            if need > 0 and self._settings.activation_scale > 1
            else desired
        )

    def _enter_or_leave_panic(self, now_s: float, *, is_over: bool) -> None:
        if is_over:
            self._panic_since_s = now_s
        elif self._panic_since_s is not None and now_s > self._panic_since_s + self._settings.stable_window_s:
            self._panic_since_s, self._panic_peak = None, 0

    def _reason(self, observation: Observation, stable: _Need, panic: _Need, desired: int, delayed: int) -> str:
        ready = observation.ready
        parts = [
            f"{stable.source.metric} {stable.stable_value:g} over {self._settings.stable_window_s:g} s / target "
            f"{stable.source.target:g} = {stable.stable}",
            f"{panic.panic_value:g} over {self._settings.panic_window_s:g} s = {panic.panic}",
            f"{ready} ready, steps of {self._settings.max_up_rate:g} up and {self._settings.max_down_rate:g} down",
        ]
        if self._panic_since_s is not None:
            parts.append(f"panic for {observation.now_s - self._panic_since_s:g} s: not below {self._panic_peak}")
        if delayed != desired:
            parts.append(f"{desired} is delayed by {self._settings.scale_down_delay_s:g} s")
        if self._settings.target_burst_capacity:
            excess = excess_burst_capacity(ready, self._settings.target_burst_capacity, panic.panic_value)
            parts.append(f"excess burst capacity {excess}")
        return "; ".join(parts)


def excess_burst_capacity(ready: int, wanted: float, panic_value: float) -> int:
    """Return what the ready pods bear beyond load and wanted burst; -1 where any burst is to fit, 0 where none is."""
    if wanted == 0:
        return 0
    return -1 if wanted < 0 else floor(ready * POD_CAPACITY - wanted - panic_value)
