"""A case from requests and profiles: which GPUs would have served this traffic?

Lives here: requests to windows, buckets and profiles to a case.  Not here: files (forebay.cli), buckets (cases).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from optimizer.input.reading import InputError
from optimizer.planning.cases import MARGIN, Bucket, offer_of, unfit
from optimizer.planning.demand import Demand, Estimator
from optimizer.profiles.capacity import Slo
from optimizer.profiles.profile import Profile
from optimizer.solver.case import Case, GpuType
from traffic.window import WINDOW_S, Lengths, Window, index_of


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a trace."""

    at_s: float
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Question:
    """A case, its buckets, and what is to be known of how it was made."""

    case: Case
    buckets: tuple[Bucket, ...]
    notes: tuple[str, ...]


def windows_of(requests: Sequence[Request]) -> Iterator[Window]:
    """Yield one window after the other, empty ones too; each request completes in the window that it arrives in.

    `requests` are in the order of time.
    """
    counts: dict[Lengths, int] = {}
    ends_s = WINDOW_S
    for request in requests:
        while request.at_s >= ends_s:
            yield Window(WINDOW_S, sum(counts.values()), counts)
            counts, ends_s = {}, ends_s + WINDOW_S
        lengths = index_of(request.input_tokens), index_of(request.output_tokens)
        counts[lengths] = counts.get(lengths, 0) + 1
    if counts:
        yield Window(WINDOW_S, sum(counts.values()), counts)


def peak_demand(windows: Iterable[Window]) -> Demand:
    """Return the highest demand that the optimizer would have planned for at the end of any window."""
    estimator, peak = Estimator(), Demand(0.0, {})
    for window in windows:
        estimator.learn(window)
        peak = max(peak, estimator.demand(), key=lambda demand: demand.rate)
    return peak


def question(
    buckets: Sequence[Bucket], profiles: Sequence[Profile], slo: Slo | None = None, margin: float = MARGIN
) -> Question:
    """Return the case of serving the buckets by the profiled deployments inside the SLO, at `margin` times the delays.

    Without an SLO that of each profile counts.  Raises InputError when a profile was measured for another and has no
    fit to compute it from.
    """
    others = list(filter(None, (unfit(profile, slo) for profile in profiles)))
    if others:
        raise InputError(others)
    offers = [offer_of(profile, buckets, slo, margin) for profile in profiles]
    types = (
        GpuType(each.deployment, each.cost, offer.throughput) for each, offer in zip(profiles, offers, strict=True)
    )
    case = Case(tuple(types), tuple(bucket.rate for bucket in buckets))
    return Question(case, tuple(buckets), tuple(note for offer in offers for note in offer.notes))


def faster(requests: Iterable[Request], speedup: float) -> list[Request]:
    """Return the requests in the order of time from 0 on, arriving so many times as fast."""
    ordered = sorted(requests, key=lambda request: request.at_s)
    start_s = ordered[0].at_s if ordered else 0.0
    return [replace(request, at_s=(request.at_s - start_s) / speedup) for request in ordered]
