"""Decisions keep the SLO at 1.5 times the profiled delays, and cost no more than the optimum for them."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.planning.decider import DEAR, Policy
from optimizer.planning.deployments import Deployment
from optimizer.profiles.capacity import Fit, Slo, capacity
from optimizer.profiles.profile import Profile
from optimizer.solver.case import Case, GpuType
from tests.support.deciding import LONG, SHORT, Loop
from tests.support.exact_mix import exact, optimum, served
from traffic.window import Lengths, tokens_of

SLO = Slo(ttft_s=2.0, itl_s=0.1)
FITS = st.builds(
    Fit,
    alpha_s=st.floats(0.004, 0.02),
    beta_s=st.floats(1e-5, 3e-4),
    gamma_s=st.floats(0.005, 0.03),
    delta_s=st.floats(1e-6, 2e-5),
    max_batch=st.sampled_from([16, 64]),
)


def at_the_margin(loop: Loop, rates: dict[Lengths, float]) -> Case:
    """Return the case of serving the rates at 1.5 times the delays, made from the fits alone."""
    lengths = [(tokens_of(into), tokens_of(out)) for into, out in rates]
    types = tuple(
        GpuType(f"ns/{each.deployment}", each.cost, tuple(capacity(each.fit.slower(1.5), *of, SLO) for of in lengths))
        for each in loop.profiles.values()
    )
    return Case(types, tuple(rates.values()))


@settings(max_examples=12, deadline=None)
@given(
    fits=st.tuples(FITS, FITS),
    costs=st.tuples(st.sampled_from([0.5, 1.0]), st.sampled_from([0.8, 3.0])),
    shorts=st.integers(1, 80),
    longs=st.integers(0, 20),
    start=st.integers(0, 3),
)
def test_what_is_published_keeps_the_slo_at_the_margin_and_becomes_the_cheapest(
    fits: tuple[Fit, Fit], costs: tuple[float, float], shorts: int, longs: int, start: int
):
    profiles = tuple(
        Profile(name, cost, (64,), (128,), ((1.0,),), SLO, fit)
        for name, cost, fit in zip("ab", costs, fits, strict=True)
    )
    deployments = Deployment("ns", "a", "m", start, start), Deployment("ns", "b", "m", 0, 0)
    loop = Loop(*deployments, profiles=profiles, policy=replace(Policy(), slo=SLO))
    counts = {SHORT: shorts, LONG: longs}
    case = at_the_margin(loop, {lengths: count / 10 for lengths, count in counts.items()})
    most, cheapest = optimum(case)

    published = [loop.step((shorts + longs) / 10, completed=counts) for _ in range(40)]

    assert [most] * 40 == [served(case, replicas) for replicas in published]
    assert case.cost(published[-1]) <= float(cheapest) * (1 + DEAR) + 1e-9
    assert exact(case.cost(published[-1])) >= cheapest or served(case, published[-1]) < most
