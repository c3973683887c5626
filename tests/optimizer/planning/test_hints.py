"""Plans as hints: shares of what is ready, marginals, names."""

import pytest

from optimizer.planning.cases import grid_of
from optimizer.planning.demand import Demand
from optimizer.planning.hints import hint_of, targets_of
from optimizer.profiles.capacity import Slo
from optimizer.solver.case import Case, GpuType
from optimizer.solver.plan import make_plan
from traffic.hint import Hint

GRID = grid_of(Demand(16.0, {(70, 60): 0.6, (70, 70): 0.2, (90, 60): 0.2}))
"""Inputs of about 128, 256 and 512 tokens, outputs of 64 and 128; no requests of 256."""
RATES = tuple(bucket.rate for bucket in GRID.buckets)
SMALL = GpuType("ns/small", 1.0, (10.0, 5.0, 0.0, 5.0, 0.0, 0.0))
LARGE = GpuType("ns/large", 3.0, (12.0, 10.0, 8.0, 8.0, 6.0, 4.0))


def a_hint(*types: GpuType, ready: int = 9) -> Hint:
    case = Case(types, RATES)
    plan = make_plan(case)
    names = [gpu.name for gpu in types]
    return hint_of(case, plan, GRID, dict(zip(names, plan.replicas, strict=True)), dict.fromkeys(names, ready))


def test_a_hint_has_the_grid_and_the_figures_of_its_plan():
    hint = a_hint(SMALL, LARGE)

    assert (GRID.outputs, GRID.inputs, {"small": 1, "large": 1}, 4.0, ()) == (
        hint.outputs, hint.inputs, hint.replicas, hint.cost, hint.unserved,
    )  # fmt: skip
    assert ((12.0, 10.0, 8.0), (8.0, 6.0, 4.0)) == hint.throughput["large"]


def test_the_shares_of_every_cell_that_somebody_can_serve_add_up_to_one():
    hint = a_hint(SMALL, LARGE)

    cells = [cell for row in hint.share for cell in row] + list(hint.in_share)
    assert [pytest.approx(1.0)] * 9 == [sum(cell.values()) for cell in cells]
    assert {"large": 1.0} == hint.share[0][2], "the small type cannot serve it"


def test_the_share_by_input_alone_weighs_outputs_as_they_come():
    hint = a_hint(SMALL, LARGE)
    short, long = hint.share[0][0], hint.share[1][0]

    assert pytest.approx(0.75 * short.get("small", 0) + 0.25 * long.get("small", 0)) == hint.in_share[0].get("small", 0)


def test_what_is_not_ready_gets_no_requests_that_others_can_serve():
    case = Case((SMALL, LARGE), RATES)
    published = {"ns/small": 2, "ns/large": 1}

    hint = hint_of(case, make_plan(case), GRID, published, {"ns/small": 2, "ns/large": 0})

    assert ({"small": 1.0}, {"large": 1.0}) == (hint.share[0][0], hint.share[0][2])


def test_a_cell_that_nobody_serves_is_told():
    hint = a_hint(SMALL)

    assert ({}, ((0, 2, 1.0),)) == (hint.share[0][2], hint.unserved)
    assert {} == hint.in_share[2]


def test_equal_names_in_several_namespaces_are_one():
    hint = a_hint(GpuType("x/a", 1.0, (4.0,) * 6, highest=2), GpuType("y/a", 1.0, (4.0,) * 6, highest=2))

    assert ({"a": 4}, {"a": pytest.approx(1.0)}) == (hint.replicas, hint.share[0][0])


def test_no_demand_has_an_empty_hint():
    case, grid = Case((), ()), grid_of(Demand(0.0, {}))

    assert ((), (), {}) == (
        (hint := hint_of(case, make_plan(case), grid, {}, {})).share, hint.in_share, hint.replicas
    )  # fmt: skip


def test_targets_are_those_that_are_set():
    assert {"ttft": 2.0} == targets_of(Slo(ttft_s=2.0))
    assert targets_of(Slo()) is None is targets_of(None)
