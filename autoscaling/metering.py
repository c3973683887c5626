"""The metrics of a specification over windows, and the rule for those that are missing.

Lives here: what is remembered of metrics.  Not here: replicas (strategies), values of one observation (readings).

Whatever is missing is never zero: without any metric replicas are kept, and while one of several is missing the others
may raise but not shrink, as Kubernetes' controller has it.
"""

from collections.abc import Iterable, Mapping

from autoscaling.decision import Decision
from autoscaling.observation import Observation
from autoscaling.readings import total
from autoscaling.spec import Source
from autoscaling.windows import MeanWindow, Seconds

Means = list[tuple[Source, tuple[float, ...]]]
"""Sources, with the means over their windows."""


class Meters:
    """Means of the sums of metrics over pods, for each source over one or more windows; the first is the longest."""

    def __init__(self, sources: Iterable[Source], windows_s: tuple[float, ...]) -> None:
        self._sources = {f"{source.kind}:{source.metric}": source for source in sources}
        self._windows = {key: tuple(MeanWindow(window_s) for window_s in windows_s) for key in self._sources}
        self._missing: frozenset[str] = frozenset(self._sources)

    @property
    def missing(self) -> str:
        """The metrics that the last observation lacked, for messages; empty where it had all."""
        return ", ".join(source.metric for key, source in self._sources.items() if key in self._missing)

    def observe(self, observation: Observation) -> None:
        """Take in the metrics."""
        values = {key: total(observation, source) for key, source in self._sources.items()}
        self._missing = frozenset(key for key, value in values.items() if value is None)
        for key, value in values.items():
            if value is not None:
                for window in self._windows[key]:
                    window.record(observation.now_s, value)

    def means(self, now_s: float) -> Means:
        """Return the means of the sources that the last observation had."""
        return [
            (source, tuple(window.mean(now_s) or 0.0 for window in self._windows[key]))  # each has a value of now
            for key, source in self._sources.items()
            if key not in self._missing
        ]

    def state(self) -> dict[str, Seconds]:
        """Return the longest window of each source."""
        return {key: windows[0].state() for key, windows in self._windows.items()}

    def restore(self, state: Mapping[str, Seconds]) -> None:
        """Take over windows; those of other sources are left out."""
        for key, seconds in state.items():
            for window in self._windows.get(key, ()):
                window.restore(seconds)


def kept(observation: Observation, missing: str, interval_s: float) -> Decision:
    """Return the decision to keep what there is, because metrics are missing."""
    reason = f"{missing} is missing, {observation.ordered} replicas are kept"
    return Decision(observation.ordered, reason, observation.now_s + interval_s, missing=f"no value of {missing}")
