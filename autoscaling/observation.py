"""Observations: a scaled target at one moment, with its pods, arrivals and latencies.

A value that was not reported is None, never zero.  The fields are those of a line that `forebay scale-decide` reads
(docs/contracts.md).

Lives here: the values.  Not here: what is decided from them (strategies), how they are read
(controllers.podautoscaler, forebay.local, forebay.simulation).
"""

from typing import Annotated

import msgspec

Amount = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class PodReading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ready pod."""

    name: str
    running: Amount | None = None
    """Requests that the engine computes now."""
    waiting: Amount | None = None
    """Requests in the engine's queue."""
    kv_usage: Amount | None = None
    """Used part of the KV cache, [0, 1]."""
    waiting_tokens: Amount | None = None
    """Prompt tokens of the requests in the queue."""
    prefill_tokens: Amount | None = None
    """Prompt tokens that running requests have still to prefill."""
    metrics: dict[str, float] = {}
    """Values of the metrics that the autoscaler names, by that name; one that was not read is absent."""


class Arrivals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requests that arrived since the observation before, whether or not they have been answered."""

    requests: Amount
    duration_s: Amount
    """Seconds in which they arrived."""
    input_tokens: Amount | None = None
    """Prompt tokens of all of them."""
    output_tokens: Amount | None = None
    """Completion tokens of those that ended."""


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Latencies that ended since the observation before."""

    ttft_mean_s: Amount | None = None
    ttft_count: Amount = 0
    """First tokens that the mean is of."""
    itl_mean_s: Amount | None = None
    itl_count: Amount = 0
    """Intervals between tokens that the mean is of."""


class Observation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A target at one moment."""

    now_s: float
    """Time in seconds by any clock that goes on over a restart, such as Unix time."""
    ready: Count
    """Pods that take requests."""
    starting: Count | None = None
    """Pods that were ordered and are not ready yet."""
    draining: Count | None = None
    """Pods that end what they have and take no requests any more."""
    pods: tuple[PodReading, ...] = ()
    """Ready pods as far as they were read."""
    external: dict[str, float] = {}
    """Values that belong to the target as a whole, by the name of the metric; one that was not read is absent."""
    arrivals: Arrivals | None = None
    queued: Amount | None = None
    """Requests that wait in gateways, in no engine's queue yet."""
    latency: Latency | None = None
    wakes: bool = False
    """Requests wait for the first replica of this target."""

    @property
    def ordered(self) -> int:
        """Pods that are ready or starting."""
        return self.ready + (self.starting or 0)
