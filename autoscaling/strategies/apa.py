"""APA, AIBrix's autoscaler: the mean per pod against the target, with a tolerance for fluctuations.

    ratio = mean over the window of the metric's sum / r / target
    ratio > 1 + up    desired = min(ceil(r x ratio), ceil(r x up rate))
    ratio < 1 - down  desired = max(ceil(r x ratio), floor(r / down rate))
    else              desired is what there is

with r = ready pods.  The window takes a value at each look, five for one decision: AIBrix, which looks only when it
decides, has three values in a window of 30 s.

Source: AIBrix v0.2.1, pkg/controller/podautoscaler (scaler and algorithm).

Lives here: the decision.  Not here: bounds, schedules and wakes (autoscaler), the sum over pods (readings).
"""

from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import msgspec

from autoscaling.decision import Decision
from autoscaling.metering import Means, Meters, kept
from autoscaling.observation import Observation
from autoscaling.options import settings
from autoscaling.readings import replicas_for
from autoscaling.spec import Spec
from autoscaling.states import dumped, loaded
from autoscaling.windows import PeakWindow, Samples, Seconds

INTERVAL_S = 10.0
"""Seconds between decisions (AIBrix)."""
SAMPLE_S = 2.0
"""Seconds between looks, each of which is in the window (KPA's interval)."""
_DIGITS = 9
"""Products are rounded to so many digits before they are rounded up, so that noise does not order a pod."""


@dataclass(frozen=True, slots=True)
class ApaSettings:
    """Settings, with the defaults of AIBrix v0.2.1."""

    window_s: float = 60.0
    """Window of the mean, in seconds."""
    up_tolerance: float = 0.1
    """Share above the target at which nothing is raised yet."""
    down_tolerance: float = 0.2
    """Share below the target at which nothing is lowered yet."""
    max_up_rate: float = 2.0
    """At most so many times the ready pods in one step."""
    max_down_rate: float = 2.0
    """At least the ready pods divided by this in one step."""
    scale_up_delay_s: float = 0.0
    """Replicas rise to the smallest number of the last so many seconds; 0 = at once."""
    scale_down_delay_s: float = 0.0
    """Replicas fall to the largest number of the last so many seconds; 0 = at once."""


class _State(msgspec.Struct, forbid_unknown_fields=True):
    due_s: float
    reason: str
    windows: dict[str, Seconds]
    largest: Samples
    smallest: Samples


def desired_replicas(ready: int, ordered: int, ratio: float, chosen: ApaSettings) -> int:
    """Return the replicas for a use of `ratio` times the target by the ready pods; `ordered` has those that start.

    A use above the target never takes back pods that are starting, and one within the tolerance leaves them.
    """
    need = replicas_for(round(ready * ratio, _DIGITS))
    if ratio > 1 + chosen.up_tolerance:
        return max(ordered, min(need, ceil(ready * chosen.max_up_rate)))
    if ratio < 1 - chosen.down_tolerance:
        return max(need, floor(ready / chosen.max_down_rate))
    return ordered


class Apa:
    """Decides for one target."""

    def __init__(self, spec: Spec) -> None:
        self._settings = settings(ApaSettings, spec.options)
        self._meters = Meters(spec.sources, (self._settings.window_s,))
        self._largest = PeakWindow(self._settings.scale_down_delay_s)
        self._smallest = PeakWindow(self._settings.scale_up_delay_s, -1)
        self._due_s = 0.0  # the time of the next decision
        self._last_reason = ""  # of the last one
        self.memory_s = max(INTERVAL_S, self._settings.window_s, self._settings.scale_down_delay_s)

    def decide(self, observation: Observation) -> Decision:
        """Return the replicas before bounds; where a metric is missing it may raise but not shrink."""
        now_s = observation.now_s
        self._meters.observe(observation)
        means = self._meters.means(now_s)
        if not means or not observation.ready:
            return kept(observation, self._meters.missing or "a ready pod", SAMPLE_S)
        left_s = self._due_s - now_s
        if 0 < left_s < INTERVAL_S:
            reason = f"{self._last_reason}; the next decision is due in {left_s:g} s"
            return Decision(observation.ordered, reason, now_s + min(SAMPLE_S, left_s))
        decision = self._decided(observation, means)
        if not decision.missing:  # else a metric that is back is not waited for
            self._due_s, self._last_reason = now_s + INTERVAL_S, decision.reason
        return decision

    def _decided(self, observation: Observation, means: Means) -> Decision:
        now_s, ready, ordered = observation.now_s, observation.ready, observation.ordered
        used = {source.metric: (mean / ready, source.target) for source, (mean,) in means}
        wanted = {
            metric: desired_replicas(ready, ordered, use / target, self._settings)
            for metric, (use, target) in used.items()
        }
        metric = max(wanted, key=lambda each: wanted[each])
        desired = wanted[metric]
        if self._meters.missing and desired < ordered:
            return kept(observation, self._meters.missing, SAMPLE_S)
        delayed = self._delayed(now_s, desired, ordered)
        late = f"; {desired} is delayed" if delayed != desired else ""
        return Decision(delayed, self._reason(metric, *used[metric], ready) + late, now_s + SAMPLE_S)

    def state(self) -> dict[str, Any]:
        """Return the last decision, and the windows of metrics and of what was desired."""
        windows = self._meters.state(), self._largest.state(), self._smallest.state()
        return dumped(_State(self._due_s, self._last_reason, *windows))

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state.  Raises ValueError where it is none."""
        held = loaded(_State, state, "APA")
        self._due_s, self._last_reason = held.due_s, held.reason
        self._meters.restore(held.windows)
        self._largest.restore(held.largest)
        self._smallest.restore(held.smallest)

    def _delayed(self, now_s: float, desired: int, ordered: int) -> int:
        """Return what both delays leave of a change."""
        for window in (self._largest, self._smallest):
            window.record(now_s, desired)
        if desired > ordered:
            return max(ordered, int(self._smallest.peak(now_s, desired)))
        return min(ordered, int(self._largest.peak(now_s, desired)))

    def _reason(self, metric: str, use: float, target: float, ready: int) -> str:
        chosen = self._settings
        return (
            f"{metric} {use:g} per pod over {chosen.window_s:g} s is {use / target:.3g} of target {target:g}, "
            f"tolerance -{chosen.down_tolerance:g} to +{chosen.up_tolerance:g}; {ready} ready, "
            f"steps of {chosen.max_up_rate:g} up and {chosen.max_down_rate:g} down"
        )
