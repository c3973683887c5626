"""The measures of a replay and their definitions.

Not here: how they are shown (report, plots), the service difference (fairness).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from routing.types import PodId
from simulator.core.totals import ITL_RESOLUTION_S, Totals
from simulator.replay.fairness import ServiceDifference, service_difference
from simulator.replay.replay import Call

QUANTILES = (0.5, 0.9, 0.99)


class Distribution(NamedTuple):
    """Mean and quantiles of a quantity in seconds."""

    mean: float
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class Slo:
    """A request is good when its TTFT is within `ttft_s` and the mean time between its tokens within `itl_s`."""

    ttft_s: float = 2.0
    itl_s: float = 0.05


@dataclass(frozen=True, slots=True)
class Summary:
    """The measures of one replay."""

    strategy: str
    speedup: float
    requests: int
    served: int
    prompt_share: float  # share of the prompt tokens of all requests that belongs to served requests
    refused: Mapping[str, int]  # by reason
    good: int
    ttfts_s: Sequence[float]  # of served requests, from arrival, ascending
    itl: Distribution | None  # of all times between tokens; None = there was none
    e2e: Distribution | None  # from arrival; None = no request was served
    reuse: float  # share of served requests' prompt tokens that was found in a cache
    load: Mapping[PodId, float]  # seconds in which the pod computed
    preemptions: int
    service: ServiceDifference | None  # None = fewer than two users

    @property
    def ttft(self) -> Distribution | None:
        """The distribution of the time from arrival to first token; None = no request was served."""
        return distribution(self.ttfts_s)

    @property
    def load_spread(self) -> float:
        """The busiest pod's computing time divided by the mean; 1 = even."""
        total = sum(self.load.values())
        return max(self.load.values()) * len(self.load) / total if total else 1.0


def summarize(
    strategy: str, speedup: float, calls: Sequence[Call], totals: Mapping[PodId, Totals], slo: Slo
) -> Summary:
    """Return the measures of a finished replay."""
    served = [call for call in calls if call.served]
    prompt_tokens = sum(call.request.input_length for call in served)
    return Summary(
        strategy=strategy,
        speedup=speedup,
        requests=len(calls),
        served=len(served),
        prompt_share=prompt_tokens / max(1, sum(call.request.input_length for call in calls)),
        refused=Counter(call.why for call in calls if call.why),
        good=sum(is_good(call, slo) for call in served),
        ttfts_s=sorted(call.ttft_s for call in served),
        itl=itl_distribution(totals.values()),
        e2e=distribution([call.e2e_s for call in served]),
        reuse=sum(call.answer.cached_tokens for call in served) / prompt_tokens if served else 0.0,
        load={pod: total.busy_s for pod, total in totals.items()},
        preemptions=sum(total.preemptions for total in totals.values()),
        service=service_difference(calls),
    )


def distribution(values: Iterable[float]) -> Distribution | None:
    """Return mean and quantiles, these interpolated between the two nearest values; None = there are no values."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Distribution(sum(ordered) / len(ordered), *(_quantile(ordered, share) for share in QUANTILES))


def itl_distribution(totals: Iterable[Totals]) -> Distribution | None:
    """Return the ITL of several engines together; the mean is exact, quantiles are rounded down to ITL_RESOLUTION_S."""
    histogram: Counter[int] = Counter()
    sum_s = 0.0
    for total in totals:
        histogram += total.itl_histogram
        sum_s += total.itl_sum_s
    if not histogram:
        return None
    buckets = sorted(histogram)
    cumulative = list(accumulate(histogram[bucket] for bucket in buckets))
    count = cumulative[-1]
    quantiles = (
        next(bucket for bucket, n in zip(buckets, cumulative, strict=True) if n >= share * count) for share in QUANTILES
    )
    return Distribution(sum_s / count, *(bucket * ITL_RESOLUTION_S for bucket in quantiles))


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def is_good(call: Call, slo: Slo) -> bool:
    """Tell whether a served request was in time."""
    intervals = max(1, call.request.output_length - 1)
    return call.ttft_s <= slo.ttft_s and (call.e2e_s - call.ttft_s) / intervals <= slo.itl_s
