"""The measurement of plans, on a small scale."""

import pytest

from bench import planning
from bench.formulations import Solved
from bench.planning import FOREBAY, LARGE, PlanFigures, PlanSample, a_case, measure_planning
from optimizer.solver.plan import make_plan


def test_every_way_is_measured_and_forebay_is_never_dearer(monkeypatch: pytest.MonkeyPatch):
    sizes = {"SIZES": ((2, 4),), "COMPARED": ((2, 4),), "JOINT": (2, 3, 4), "RATES": (8.0, 8.0), "SEEDS": 1}
    for name, value in sizes.items():
        monkeypatch.setattr(planning, name, value)
    lines: list[str] = []

    figures = measure_planning(lines.append)

    rows = list(figures.rows())
    assert FOREBAY == rows[0][1]
    assert len(rows) == len(lines) - 1 >= 2
    assert [f"{part:g}" for part in planning.PARTS] == [row[0] for row in figures.joint_rows()]
    assert "together" in {row[1] for row in figures.joint_rows()}
    assert all(float(row[5]) >= 1.0 for row in rows)
    assert all("2 of 2" == row[4] for row in rows)


def test_medians_and_ratios():
    def sample(seed: int, way: str, seconds: float, cost: float) -> PlanSample:
        return PlanSample(*LARGE, 8.0, seed, way, Solved(seconds, cost, way == FOREBAY))

    figures = PlanFigures([sample(0, FOREBAY, 0.2, 10.0), sample(1, FOREBAY, 0.4, 20.0), sample(1, "x", 9.0, 21.0)])

    assert 0.3 == pytest.approx(figures.large_s())
    assert [("10 x 144", FOREBAY, "0.300", "0.400", "2 of 2", "1.0000", "1.0000"),
            ("10 x 144", "x", "9.000", "9.000", "0 of 1", "1.0500", "1.0500")] == list(figures.rows())  # fmt: skip


@pytest.mark.parametrize(("types", "buckets"), [(2, 9), (4, 60), (10, 144)])
def test_cases_have_their_size_and_rate_and_can_be_served(types: int, buckets: int):
    case = a_case(types, buckets, 64.0, seed=1)

    assert (types, buckets, pytest.approx(64.0)) == (len(case.types), len(case.rates), sum(case.rates))
    assert len(case.carriers) == buckets


def test_every_type_alone_would_cost_about_the_same():
    case = a_case(2, 9, 5_000.0, seed=1)
    costs = [make_plan(type(case)((gpu,), case.rates)).cost for gpu in case.types if all(gpu.throughput)]

    assert max(costs) <= 1.05 * min(costs)
