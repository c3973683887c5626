"""Specifications of autoscalers, as they were read and checked.

Lives here: the values.  Not here: reading them (spec_reading), what follows from them (strategies).
"""

from dataclasses import dataclass, field
from enum import StrEnum


class StrategyName(StrEnum):
    """The strategies that `scalingStrategy` may name."""

    HPA = "HPA"
    KPA = "KPA"
    APA = "APA"
    SLO = "SLO"


class SourceKind(StrEnum):
    """Places where metrics come from; `domain` is an older word for `external`."""

    POD = "pod"
    RESOURCE = "resource"
    CUSTOM = "custom"
    EXTERNAL = "external"


REPLICAS_METRIC = "vllm:deployment_replicas"
"""The metric that is a number of replicas, as an optimizer publishes it: 100 for each where the target is 100."""


ASLEEP = "keep-asleep"
"""The option that says how many replicas that are not wanted are put to sleep instead of ended."""


@dataclass(frozen=True, slots=True)
class Source:
    """One metric and its target value."""

    kind: SourceKind
    metric: str
    target: float
    """The target as it counts: percent of a ratio is made a ratio, percent of a replica a replica."""
    protocol: str = "http"
    endpoint: str = ""
    """`host:port` of an external source; empty = the metrics API of the cluster."""
    path: str = ""
    """With a leading slash."""
    port: str = ""
    """Port of a pod: a number."""


@dataclass(frozen=True, slots=True)
class Target:
    """The object that is scaled."""

    api_version: str
    kind: str
    name: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """Bounds that hold at certain times of certain days."""

    name: str
    timezone: str
    """Time zone of the IANA database."""
    days: frozenset[int]
    """0 = Monday; empty = every day."""
    start_minute: int
    end_minute: int
    """Minutes of the day, [start, end)."""
    least: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole specification; the settings of each strategy have defaults."""

    target: Target
    strategy: StrategyName
    least: int
    most: int
    sources: tuple[Source, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    slo_ttft_s: float | None = None
    """Promise of strategy SLO: mean time to the first token."""
    slo_itl_s: float | None = None
    """Promise of strategy SLO: mean time between tokens."""
    options: dict[str, str] = field(default_factory=dict)
    """The settings that annotations and labels name, without their prefixes, as they were written."""
    notes: tuple[str, ...] = ()
    """Readings that may surprise, one sentence each, for events."""

    @property
    def keep_asleep(self) -> int:
        """Return how many replicas sleep at most; 0 = what is not wanted ends."""
        return int(self.options.get(ASLEEP, "0"))
