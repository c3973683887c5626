"""The optimizer's own metrics."""

from prometheus_client.parser import text_string_to_metric_families

from optimizer.service.board import Board
from optimizer.service.metrics import OptimizerMetrics
from tests.support.boards import a_board, a_decided_board


def figures(board: Board) -> dict[str, float]:
    """Every sample without `forebay_optimizer_`, by name and, behind a comma each, labels but the model."""
    families = text_string_to_metric_families(OptimizerMetrics(board).render().decode())
    samples = [sample for family in families for sample in family.samples]
    labels = [[value for name, value in sample.labels.items() if name != "model"] for sample in samples]
    names = [sample.name.removeprefix("forebay_optimizer_") for sample in samples]
    return {",".join([name, *more]): s.value for name, more, s in zip(names, labels, samples, strict=True)}


def test_a_decision_in_figures():
    board, _ = a_decided_board(sent={"m-l20": 70, "m-v100": 30})

    found = figures(board)

    assert {
        "redis_up": 1, "deployments_current": 1, "windows_read_total": 6, "trace_age_seconds": 0, "profiled_ratio": 1,
        "failing": 0, "decision_age_seconds": 0, "demand_requests_per_second": 30, "cost_per_hour": 5,
        "unserved_requests_per_second": 0, "coverage_ratio": 1, "plan_cost_per_hour": 5, "plan_gap_ratio": 0,
        "split_alarm": 1, "replicas,m-l20,default": 5, "replicas,m-v100,default": 0,
        "split_ratio,m-l20,planned": 1, "split_ratio,m-l20,sent": 0.7,
    }.items() <= found.items()  # fmt: skip
    assert abs(found["split_drift_ratio"] - 0.3) < 1e-9


def test_a_split_as_planned_is_no_alarm():
    board, _ = a_decided_board(sent={"m-l20": 90, "m-v100": 10})

    assert 0 == figures(board)["split_alarm"]


def test_what_is_unknown_is_left_out():
    board = a_board(problem="gone")
    board.redis_problem = "away"

    found = figures(board)

    assert (0, 0, 0) == (found["redis_up"], found["deployments_current"], found["profiled_ratio"])
    assert not {"trace_age_seconds", "cost_per_hour", "split_drift_ratio", "split_alarm"} & found.keys()
