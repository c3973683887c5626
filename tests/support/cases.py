"""Planning problems for tests."""

from collections.abc import Sequence

from hypothesis import strategies as st

from optimizer.solver.case import Case, GpuType


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
