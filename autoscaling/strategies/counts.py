"""Numbers of replicas that somebody else has computed, such as the optimizer's: desired = ceil(value / target).

There are no windows and no rates, because whoever computed the number knows the load; a delay of shrinking only where
an option asks for it.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from autoscaling.decision import Decision
from autoscaling.metering import kept
from autoscaling.observation import Observation
from autoscaling.options import settings
from autoscaling.readings import replicas_for, total
from autoscaling.spec import Spec
from autoscaling.states import dumped, loaded
from autoscaling.windows import PeakWindow, Samples

INTERVAL_S = 2.0
"""Seconds between decisions, as KPA's, in whose objects such metrics are found."""
_DIGITS = 6
"""The quotient is rounded to so many digits, so that 4 / 0.8 is 5 and 0.7 / 0.1 is 7."""


@dataclass(frozen=True, slots=True)
class CountsSettings:
    """The settings that were asked for."""

    scale_down_delay_s: float = 0.0
    """Replicas fall to the largest number of the last so many seconds; 0 = at once."""


class _State(msgspec.Struct, forbid_unknown_fields=True):
    delay: Samples


class Counts:
    """Decides for one target."""

    def __init__(self, spec: Spec) -> None:
        (self._source,) = spec.sources
        self._delay_s = settings(CountsSettings, spec.options).scale_down_delay_s
        self._delay = PeakWindow(self._delay_s)
        self.memory_s = 0.0

    def decide(self, observation: Observation) -> Decision:
        """Return the replicas before bounds."""
        source, next_s = self._source, observation.now_s + INTERVAL_S
        value = total(observation, source)
        if value is None:
            return kept(observation, source.metric, INTERVAL_S)
        desired = replicas_for(round(value / source.target, _DIGITS))
        reason = f"{source.metric} {value:g} / target {source.target:g} = {desired}"
        if self._delay_s <= 0:
            return Decision(desired, reason, next_s)
        self._delay.record(observation.now_s, desired)
        delayed = int(self._delay.peak(observation.now_s, desired))
        late = f"; {desired} is delayed by {self._delay_s:g} s" if delayed != desired else ""
        return Decision(delayed, reason + late, next_s)

    def state(self) -> dict[str, Any]:
        """Return the delay."""
        return dumped(_State(self._delay.state()))

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state.  Raises ValueError where it is none."""
        self._delay.restore(loaded(_State, state, "numbers of replicas").delay)
