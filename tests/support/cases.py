"""Planning problems for tests."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from hypothesis import strategies as st

from optimizer.solver.case import Case, GpuType, Limit
from optimizer.solver.joint import JointCase


def a_type(name: str = "a", cost: float = 1.0, throughput: Sequence[float] = (1.0,), **bounds: int | None) -> GpuType:
    """A GPU type; `lowest` and `highest` bound its replicas."""
    return GpuType(name, cost, tuple(throughput), **bounds)


def a_case(rates: Sequence[float], *types: GpuType, **more: object) -> Case:
    """A case of these types."""
    return Case(tuple(types), tuple(rates), **more)


THROUGHPUTS = st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 7.0, 10.0])
COSTS = st.sampled_from([0.3, 0.7, 1.0, 1.01, 2.0, 3.67, 7.5])


@st.composite
def small_cases(draw: st.DrawFn, capped: bool = True, moving: bool = True) -> Case:
    """Cases small enough to enumerate: up to 3 types and 4 buckets, tiny and empty buckets among them."""
    buckets, count = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    rates = draw(st.lists(st.sampled_from([0.0, 1e-7, 0.2, 0.5, 1.0, 1.7]), min_size=buckets, max_size=buckets))
    types = []
    for g in range(count):
        throughput = draw(st.lists(THROUGHPUTS, min_size=buckets, max_size=buckets))
        lowest = draw(st.sampled_from([0, 0, 0, 1, 2])) if capped else 0
        highest = draw(st.sampled_from([None, None, 0, 1, 3])) if capped else None
        limits = (lowest, None if highest is None else max(lowest, highest))
        types.append(GpuType(f"g{g}", draw(COSTS), tuple(throughput), *limits))
    current = draw(st.none() | st.tuples(*[st.integers(0, 4)] * count)) if moving else None
    return Case(tuple(types), tuple(rates), draw(st.sampled_from([1.0, 1.5])), current)


@st.composite
def limited_cases(draw: st.DrawFn, largest: int = 3) -> Case:
    """Cases small enough to enumerate, in one to three pools, with limits that types share: caps, budgets, shares.

    They have at most so many types and buckets.
    """
    buckets, count = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    rates = draw(st.lists(st.sampled_from([0.0, 1e-7, 0.5, 1.0, 1.7]), min_size=buckets, max_size=buckets))
    throughputs = st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, 3.0]), min_size=buckets, max_size=buckets)
    types = tuple(
        GpuType(
            f"g{g}",
            draw(COSTS),
            tuple(draw(throughputs)),
            draw(st.sampled_from([0, 0, 0, 1])),
            draw(st.sampled_from([None, None, 2, 3])),
            draw(st.sampled_from([0, 0, 1, 2])),
        )
        for g in range(count)
    )
    current = draw(st.none() | st.tuples(*[st.integers(0, 4)] * count))
    limits = tuple(_named(draw, draw(st.sets(st.sampled_from(LIMITS), max_size=2)), types))
    return Case(types, tuple(rates), draw(st.sampled_from([1.0, 1.5])), current, limits=limits)


LIMITS = ["budget", "cap", "cap too", "floor", "share"]


def _named(draw: st.DrawFn, names: set[str], types: Sequence[GpuType]) -> Iterator[Limit]:
    """Limits by name; share and floor mean the same spot types."""
    spot = draw(st.lists(st.booleans(), min_size=len(types), max_size=len(types)))
    sizes = st.lists(st.sampled_from([0.0, 1.0, 2.0, 8.0]), min_size=len(types), max_size=len(types))
    for name in sorted(names):
        if name == "share":
            yield Limit(name, tuple(1.0 if each else -1.0 for each in spot), 0.0)
        elif name == "floor":
            yield Limit(name, tuple(0.0 if each else -1.0 for each in spot), -draw(st.sampled_from([1.0, 2.0])))
        else:
            weights = [gpu.cost for gpu in types] if name == "budget" else draw(sizes)
            yield Limit(name, tuple(weights), draw(st.sampled_from([0.5, 2.0, 3.0, 5.0])))


@st.composite
def joint_cases(draw: st.DrawFn) -> JointCase:
    """Two small models, each with limits of its own, and up to two limits on both; without headroom, which rounds."""
    cases = {name: replace(draw(limited_cases(largest=2)), headroom=1.0) for name in ("m", "n")}
    if None in [case.current for case in cases.values()]:
        cases = {name: replace(case, current=None) for name, case in cases.items()}
    types = [gpu for case in cases.values() for gpu in case.types]
    names = draw(st.sets(st.sampled_from(["budget", "cap", "cap too"]), max_size=2))
    return JointCase(cases, tuple(_named(draw, names, types)))
