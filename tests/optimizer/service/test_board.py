"""The state of all models: deployments come and go, orders by hand, the realised split."""

from dataclasses import replace

import pytest

from tests.support.boards import L20, SHORT, V100, a_board, a_decided_board, heard
from tests.support.optimizer import a_window


def test_deployments_are_sorted_by_model_and_models_without_any_are_forgotten():
    board = a_board(L20, V100, replace(L20, name="other", model="m"))

    assert {"org/m": (L20, V100), "m": (replace(L20, name="other", model="m"),)} == {
        name: model.deployments for name, model in board.models.items()
    }
    board.put_deployments([L20])
    assert ["org/m"] == list(board.models)


def test_a_deployment_that_changed_makes_its_model_due_but_not_by_its_counts():
    board = a_board()
    board.models["org/m"].is_due = False
    board.news.clear()

    board.put_deployments([replace(L20, replicas=3, ready=2), V100])
    assert (False, False, 3) == (
        board.models["org/m"].is_due, board.news.is_set(), board.models["org/m"].deployments[0].replicas
    )  # fmt: skip
    board.put_deployments([replace(L20, min_replicas=1), V100])
    assert (True, True) == (board.models["org/m"].is_due, board.news.is_set())


def test_nothing_is_published_before_the_first_decision_or_for_a_deployment_that_is_out():
    assert None is a_board().published(L20.key)
    board, _ = a_decided_board()
    assert 5 == board.published(L20.key)

    board.stop(L20.key)
    assert (None, None) == (board.published(L20.key), board.published("default/unknown"))
    assert board.start(L20.key)
    assert not board.start(L20.key)
    assert 5 == board.published(L20.key)


def test_an_override_is_published_until_it_ends():
    board, model = a_decided_board()
    model.is_due = False

    board.override(L20.key, 9)
    assert (9, True) == (board.published(L20.key), model.is_due)
    board.override(L20.key, 0)
    assert 0 == board.published(L20.key)
    board.override(L20.key, -1)
    assert (5, {}) == (board.published(L20.key), board.overrides)


def test_orders_for_deployments_that_are_gone_are_forgotten():
    board, _ = a_decided_board()
    board.override(L20.key, 9)
    board.stop(V100.key)

    board.put_deployments([])
    board.put_deployments([L20, V100])

    assert ({}, False) == (board.overrides, board.start(V100.key))


def test_it_is_ready_when_deployments_are_known_and_every_model_was_decided():
    board = a_board()

    assert ["org/m: nothing was decided yet"] == board.not_ready()
    assert [] == a_decided_board()[0].not_ready()
    assert [] == a_board().problems()
    board.redis_problem = "no answer in time"
    assert ["Redis is away: no answer in time"] == board.problems()
    assert ["deployments may be out of date: gone"] == a_board(problem="gone").problems()


def test_the_realised_split_is_compared_with_the_plan():
    _, model = a_decided_board(sent={"m-l20": 75, "m-v100": 25})

    assert {"m-l20": (1.0, 0.75), "m-v100": (0.0, 0.25)} == model.split()
    assert 0.25 == pytest.approx(model.drift())


def test_few_requests_say_nothing_of_the_split():
    _, model = a_decided_board(sent={"m-v100": 1})

    assert ({}, None) == (model.split(), model.drift())


def test_a_deployment_without_a_plan_counts_too():
    _, model = a_decided_board()
    heard(model, [a_window(30, {SHORT: 1.0}, sent={"stranger": 20})] * 6)

    assert {"m-l20": (1.0, 0.0), "m-v100": (0.0, 0.0), "stranger": (0.0, 1.0)} == model.split()
    assert 1.0 == model.drift()
