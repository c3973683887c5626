"""Plans: cells, shares and points."""

import random
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fleet.hints import plan_of
from routing.plans import Plans, Points, Split, Targets, chosen, is_over
from tests.support.hints import a_hint

PLAN = plan_of(a_hint())


@pytest.mark.parametrize(
    ("tokens", "shares"),
    [
        ((256, 32), {"l20": 1.0}),
        ((1024, 32), {"l20": 0.7, "v100": 0.3}),
        ((4096, 32), {"v100": 1.0}),
        ((1, 1), {"l20": 1.0}),
        ((1_000_000, 1), {"v100": 1.0}),
        ((511, 32), {"l20": 1.0}),
        ((513, 32), {"l20": 0.7, "v100": 0.3}),
        ((1024, 63), {"l20": 0.7, "v100": 0.3}),
        ((1024, 65), {"v100": 1.0}),
        ((1_000_000, 1_000_000), {}),
        ((1024, 0), {"l20": 0.55, "v100": 0.45}),
    ],
)
def test_a_request_belongs_to_the_nearest_cell_on_a_logarithmic_scale(
    tokens: tuple[int, int], shares: dict[str, float]
) -> None:
    assert shares == dict(PLAN.cell(*tokens).shares)


def test_every_cell_has_a_number_of_its_own() -> None:
    numbers = [PLAN.cell(i, o).number for i in (256, 1024, 4096) for o in (0, 32, 128)]

    assert 9 == len(set(numbers))


def test_deployments_that_can_serve_are_ordered_by_plan_share_and_throughput() -> None:
    hint = replace(a_hint(), replicas={"l20": 0, "v100": 1})

    assert [["l20", "v100"], ["l20", "v100"], ["v100"]] == [
        list(PLAN.cell(tokens, 32).capable) for tokens in (256, 1024, 4096)
    ]
    assert ["v100", "l20"] == list(plan_of(hint).cell(256, 32).capable)


def test_without_throughputs_those_can_serve_that_have_a_share() -> None:
    plan = plan_of(replace(a_hint(), throughput={}))

    assert [["l20"], ["l20", "v100"], ["v100"]] == [list(plan.cell(tokens, 32).capable) for tokens in (256, 1024, 4096)]
    assert not plan.has_rates


def test_a_share_of_a_deployment_that_cannot_serve_goes_to_the_others() -> None:
    no_l20 = {"l20": ((10.0, 0.0, 0.0), (5.0, 0.0, 0.0)), "v100": a_hint().throughput["v100"]}

    assert [("v100", 1.0)] == plan_of(replace(a_hint(), throughput=no_l20)).cell(1024, 32).shares


def test_targets_bound_how_long_a_request_may_take() -> None:
    assert inf == Targets().longest_s(100)
    assert 2.0 + 100 * 0.05 == Targets(2.0, 0.05).longest_s(100)
    assert 3.0 == Targets(2.0, 0.05, 3.0).longest_s(100)
    assert 2.0 == Targets(2.0).longest_s(0)
    assert 2.5 == plan_of(replace(a_hint(), slo={"ttft": 2.0, "tpot": 0.05})).targets.longest_s(10)


def test_the_first_model_that_has_a_plan_counts() -> None:
    plans = Plans()
    assert plans.of("adapter", "base") is None
    plans.put("base", PLAN)
    adapters = plan_of(a_hint())
    plans.put("adapter", adapters)

    assert [adapters, PLAN] == [
        found[0] for models in (["adapter", "base"], ["x", "base"]) if (found := plans.of(*models))
    ]
    plans.keep(["base"])
    assert plans.of("adapter") is None


@given(
    weights=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6),
    point=st.floats(0.0, 1.0, exclude_max=True),
)
def test_a_point_chooses_by_weight_and_its_place_there_is_a_point_too(weights: list[float], point: float) -> None:
    named = [(str(index), weight) for index, weight in enumerate(weights)]

    name, within = chosen(named, point)

    before, total = sum(weights[: int(name)]), sum(weights)
    assert 0.0 <= within <= 1.0
    assert before + within * weights[int(name)] == pytest.approx(point * total)


@given(share=st.floats(0.01, 0.99), requests=st.integers(1, 2000), seed=st.integers(0, 1000))
def test_points_divide_any_number_of_requests_by_their_shares(share: float, requests: int, seed: int) -> None:
    points = Points(random.Random(seed))

    below = sum(points.next("m", 0) < share for _ in range(requests))

    assert abs(below - share * requests) < 5  # the discrepancy of the golden ratio grows with the logarithm


def test_cells_and_models_have_points_of_their_own() -> None:
    points = Points(random.Random(1))
    first = points.next("m", 0)
    others = [points.next("m", 1), points.next("n", 0)]

    assert (first + 0.6180339887) % 1 == pytest.approx(points.next("m", 0))
    assert 3 == len({first, *others})


def test_what_was_wanted_and_chosen_is_counted() -> None:
    counted = Split()
    for chosen_one in ("a", "a", "b", "c"):
        counted.count([("a", 0.75), ("b", 0.25)], chosen_one)

    assert ({"a": 3.0, "b": 1.0}, {"a": 2, "b": 1, "c": 1}) == (counted.wanted, counted.chosen)


@pytest.mark.parametrize(("carried", "most"), [(0.5, 2), (1.0, 4), (10.0, 17), (100.0, 121)])
def test_more_in_flight_than_chance_explains_is_over(carried: float, most: int) -> None:
    assert [False, True] == [is_over(most, carried), is_over(most + 1, carried)]


def test_what_is_not_known_to_be_carried_is_never_over() -> None:
    assert not is_over(1e9, inf)
