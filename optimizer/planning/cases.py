"""Cases: demand in buckets of lengths, and what replicas carry of each by their profiles.

Lives here: demand to buckets, a profile's throughputs for them, and what is to be known of those.  Not here: solving.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp2, fsum, inf

from optimizer.planning.demand import Demand
from optimizer.profiles.capacity import Slo
from optimizer.profiles.profile import Profile
from traffic.window import INDEX_PER_OCTAVE, Lengths, tokens_of

MARGIN = 1.5
"""Plans are made for delays so many times as long as the profiled ones (Scalable Joint Allocation, arXiv 2604.07472:
at 1.5 times plans without a margin break, and those with one degrade gently)."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Requests of similar lengths: mean lengths in tokens, and requests per second."""

    input_tokens: float
    output_tokens: float
    rate: float


@dataclass(frozen=True, slots=True)
class Grid:
    """All doublings of output and input lengths between the shortest and the longest of a demand, empty ones too."""

    outputs: tuple[float, ...]
    """Middles of the doublings in tokens, ascending."""
    inputs: tuple[float, ...]
    buckets: tuple[Bucket, ...]
    """Row by row: for each output length all input lengths."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Requests per second that one replica carries, by bucket, and notes on how they are known."""

    throughput: tuple[float, ...]
    notes: tuple[str, ...]


def buckets_of(demand: Demand) -> tuple[Bucket, ...]:
    """Return the demand in buckets of one doubling of the input and one of the output length."""
    groups = _grouped(demand)
    return tuple(_bucket(groups[key], demand.rate) for key in sorted(groups))


def grid_of(demand: Demand) -> Grid:
    """Return the demand as a grid of the same buckets; a bucket without requests has the middles as its lengths."""
    groups = _grouped(demand)
    inputs, outputs = (sorted(key[axis] for key in groups) for axis in (0, 1))
    columns = range(inputs[0], inputs[-1] + 1) if inputs else range(0)
    rows = range(outputs[0], outputs[-1] + 1) if outputs else range(0)
    buckets = tuple(
        _bucket(groups[into, out], demand.rate) if (into, out) in groups else Bucket(_middle(into), _middle(out), 0.0)
        for out in rows
        for into in columns
    )
    return Grid(tuple(map(_middle, rows)), tuple(map(_middle, columns)), buckets)


def _grouped(demand: Demand) -> dict[Lengths, list[tuple[float, float, float]]]:
    groups: dict[Lengths, list[tuple[float, float, float]]] = {}
    for (into, out), share in demand.shares.items():
        key = into // INDEX_PER_OCTAVE, out // INDEX_PER_OCTAVE
        groups.setdefault(key, []).append((tokens_of(into), tokens_of(out), share))
    return groups


def _middle(octave: int) -> float:
    """Return the middle of the buckets of a doubling, on a logarithmic scale."""
    return exp2(octave + (INDEX_PER_OCTAVE - 1) / 2 / INDEX_PER_OCTAVE)


def _bucket(members: Sequence[tuple[float, float, float]], rate: float) -> Bucket:
    share = fsum(part for *_, part in members)
    into, out = (fsum(member[axis] * member[2] for member in members) / share for axis in (0, 1))
    return Bucket(into, out, rate * share)


def offer_of(profile: Profile, buckets: Sequence[Bucket], slo: Slo | None, margin: float) -> Offer:
    """Return what a replica carries inside the SLO at `margin` times the delays; without an SLO the profile's counts.

    The profile must not be `unfit`.
    """
    found = [profile.at(bucket.input_tokens, bucket.output_tokens, slo, margin) for bucket in buckets]
    notes = [f"{profile.deployment}: repaired: {line}" for line in profile.repaired]
    beyond = [n for n, each in enumerate(found) if each.extrapolated]
    if beyond:
        notes.append(f"{profile.deployment}: extrapolated beyond what was measured: buckets {beyond}")
    if profile.fit is None and margin > 1:
        notes.append(f"{profile.deployment}: has no fit: throughputs are divided by {margin:g}, its SLO is not checked")
    return Offer(tuple(each.rate for each in found), tuple(notes))


def unfit(profile: Profile, slo: Slo | None) -> str | None:
    """Return why nothing can be planned for an SLO by a profile, in one line; None = it can."""
    if slo is None or profile.fit is not None or profile.throughput_for(slo) is not None:
        return None
    return f"{profile.deployment}: measured for {_targets(profile.slo)}, has no fit to plan for others"


def in_flight_within(slo: Slo, buckets: Sequence[Bucket]) -> float:
    """Return how many requests are in flight if each takes as long as the SLO allows; infinite without such targets."""
    return fsum(bucket.rate * _longest_s(slo, bucket.output_tokens) for bucket in buckets)


def _longest_s(slo: Slo, output_tokens: float) -> float:
    streamed_s = inf if slo.ttft_s is None or slo.itl_s is None else slo.ttft_s + (output_tokens - 1) * slo.itl_s
    return min(streamed_s, inf if slo.e2e_s is None else slo.e2e_s)


def _targets(slo: Slo) -> str:
    targets = ((name, getattr(slo, f"{name}_s")) for name in ("ttft", "itl", "e2e"))
    return ", ".join(f"{name} <= {value:g} s" for name, value in targets if value is not None) or "no SLO"
