"""Decisions and their history as JSON."""

import json

from optimizer.service.decision_json import history_values, plan_values
from optimizer.service.history import Moment
from tests.support.boards import L20, NOW_S, a_board, a_decided_board, decide


def test_a_plan_has_what_is_published_and_why():
    board, model = a_decided_board()
    assert model.decision is not None
    board.override(L20.key, 9)

    page = json.loads(json.dumps(plan_values(board, model, model.decision), allow_nan=False))

    assert {"default/m-l20": 9, "default/m-v100": 0} == page["published"]
    assert {"default/m-l20": 5, "default/m-v100": 0} == page["replicas"] == page["plan"]["replicas"]
    assert (5.0, 30.0, True) == (page["cost"], page["demand"]["rate"], page["plan"]["verified"])
    assert [{"input_tokens": 128.0, "output_tokens": 32.0, "rate": 30.0}] == page["buckets"]
    assert page["hint_version"] >= 1


def test_a_decision_that_holds_has_no_plan():
    board = a_board()
    model = board.models["org/m"]
    decide(board, model)
    assert model.decision is not None

    page = plan_values(board, model, model.decision)

    assert (None, None) == (page["plan"], page["hint_version"])
    assert page["held"]


def test_a_history_has_moments_lengths_and_the_split():
    _, model = a_decided_board(sent={"m-l20": 100})
    model.history.add(Moment(NOW_S, 30.0, {L20.key: 5}, 5.0, 0.0))

    page = json.loads(json.dumps(history_values(model), allow_nan=False))

    assert [5.0] == [moment["cost"] for moment in page["moments"]]
    assert {"m-l20": {"planned": 1.0, "sent": 1.0}, "m-v100": {"planned": 0.0, "sent": 0.0}} == page["split"]
    assert [30.0] == [bucket["rate"] for bucket in page["lengths"]]
    assert [] == history_values(a_board().models["org/m"])["lengths"]
