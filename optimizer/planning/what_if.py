"""A case from requests and profiles: which GPUs would have served this traffic?

Lives here: requests to windows, demand to buckets, buckets and profiles to a case.  Not here: files (forebay.cli).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import fsum

from optimizer.input.reading import InputError
from optimizer.planning.demand import Demand, Estimator
from optimizer.profiles.capacity import Slo
from optimizer.profiles.profile import Profile
from optimizer.solver.case import Case, GpuType
from traffic.window import INDEX_PER_OCTAVE, WINDOW_S, Lengths, Window, index_of, tokens_of

MARGIN = 1.5
"""Plans are made for delays so many times as long as the profiled ones (Scalable Joint Allocation, arXiv 2604.07472:
at 1.5 times plans without a margin break, and those with one degrade gently)."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a trace."""

    at_s: float
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """Requests of similar lengths: mean lengths in tokens, and requests per second."""

    input_tokens: float
    output_tokens: float
    rate: float


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


def buckets_of(demand: Demand) -> tuple[Bucket, ...]:
    """Return the demand in buckets of one doubling of the input and one of the output length."""
    groups: dict[Lengths, list[tuple[float, float, float]]] = {}
    for (into, out), share in demand.shares.items():
        key = into // INDEX_PER_OCTAVE, out // INDEX_PER_OCTAVE
        groups.setdefault(key, []).append((tokens_of(into), tokens_of(out), share))
    return tuple(_bucket(groups[key], demand.rate) for key in sorted(groups))


def _bucket(members: Sequence[tuple[float, float, float]], rate: float) -> Bucket:
    share = fsum(part for *_, part in members)
    into, out = (fsum(member[axis] * member[2] for member in members) / share for axis in (0, 1))
    return Bucket(into, out, rate * share)


def question(
    buckets: Sequence[Bucket], profiles: Sequence[Profile], slo: Slo | None = None, margin: float = MARGIN
) -> Question:
    """Return the case of serving the buckets by the profiled deployments inside the SLO, at `margin` times the delays.

    Without an SLO that of each profile counts.  Raises InputError when a profile was measured for another and has no
    fit to compute it from.
    """
    others = [profile for profile in profiles if slo is not None and slo != profile.slo and profile.fit is None]
    if others:
        raise InputError(
            [f"{each.deployment}: measured for {_targets(each.slo)}, has no fit to plan for others" for each in others]
        )
    notes = []
    types = []
    for profile in profiles:
        found = [profile.at(bucket.input_tokens, bucket.output_tokens, slo, margin) for bucket in buckets]
        types.append(GpuType(profile.deployment, profile.cost, tuple(each.rate for each in found)))
        notes += [f"{profile.deployment}: repaired: {line}" for line in profile.repaired]
        beyond = [n for n, each in enumerate(found) if each.extrapolated]
        if beyond:
            notes.append(f"{profile.deployment}: extrapolated beyond what was measured: buckets {beyond}")
        if profile.fit is None and margin > 1:
            notes.append(
                f"{profile.deployment}: has no fit: throughputs are divided by {margin:g}, its SLO is not checked"
            )
    case = Case(tuple(types), tuple(bucket.rate for bucket in buckets))
    return Question(case, tuple(buckets), tuple(notes))


def _targets(slo: Slo) -> str:
    targets = ((name, getattr(slo, f"{name}_s")) for name in ("ttft", "itl", "e2e"))
    return ", ".join(f"{name} <= {value:g} s" for name, value in targets if value is not None) or "no SLO"


def faster(requests: Iterable[Request], speedup: float) -> list[Request]:
    """Return the requests in the order of time from 0 on, arriving so many times as fast."""
    ordered = sorted(requests, key=lambda request: request.at_s)
    start_s = ordered[0].at_s if ordered else 0.0
    return [replace(request, at_s=(request.at_s - start_s) / speedup) for request in ordered]
