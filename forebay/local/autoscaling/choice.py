"""The choice of a strategy for the engines of a run.

Lives here: the value, and what it may name on this machine.  Not here: the option that gives it
(forebay.cli.autoscale_option).
"""

from dataclasses import dataclass

from autoscaling.spec import SourceKind, Spec


@dataclass(frozen=True, slots=True)
class Autoscale:
    """How the engines of a run are scaled."""

    spec: Spec
    startup_s: float
    """Seconds from the order of an engine until it serves."""

    def __post_init__(self) -> None:
        """Raise ValueError for metrics that are nowhere on this machine."""
        for source in self.spec.sources:
            if source.kind not in (SourceKind.POD, SourceKind.CUSTOM):
                raise ValueError(f"metric {source.metric} of source {source.kind}: here are metrics of engines only")
