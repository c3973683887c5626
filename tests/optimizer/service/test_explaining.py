"""/explain says which stage is missing."""

from optimizer.planning.decider import Policy
from optimizer.service.explaining import as_text, explanation
from tests.support.boards import (
    L20,
    PROFILES,
    SHORT,
    V100,
    Found,
    Offered,
    a_board,
    a_decided_board,
    decide,
    heard,
    with_profiles,
)
from tests.support.optimizer import a_window


def test_a_model_that_is_planned_misses_nothing():
    board, model = a_decided_board()

    page = explanation(board, model, ())

    assert [] == page["missing"]
    assert "the last window ended 0 s ago, 1 writers, 300 arrivals; 6 windows read" == page["stages"]["traces"]
    assert "2 of 2 deployments" == page["stages"]["profiles"]
    assert "2 (default/m-l20, default/m-v100)" == page["stages"]["deployments"]
    assert {"demand", "coverage", "plan", "held"} <= page["stages"].keys()
    assert (5, None, "key m-l20") == tuple(
        page["deployments"][L20.key][name] for name in ("published", "override", "profile")
    )


def test_without_traces_it_says_which_key_there_is_not_and_which_models_have_some():
    board = with_profiles(a_board())
    model = board.models["org/m"]
    decide(board, model)

    page = explanation(board, model, {"other", "another"})

    assert ["traces"] == [line.partition(":")[0] for line in page["missing"]]
    assert page["stages"]["traces"].startswith("no key aibrix:org/m_request_trace_* in Redis")
    assert page["stages"]["traces"].endswith("there are traces of another, other")
    assert explanation(board, model, ())["stages"]["traces"].endswith("of no model at all")
    assert "no traces" in page["held"][0]


def test_without_a_profile_it_names_the_deployment_and_the_key():
    board = a_board()
    board.shelf.put({L20: Offered([Found("key x", PROFILES[L20].encode())]), V100: Offered([], looked_at=["key y"])})
    model = board.models["org/m"]
    heard(model, [a_window(30, {SHORT: 1.0})])
    decide(board, model)

    page = explanation(board, model, ())

    assert ["profiles of default/m-v100"] == page["missing"]
    assert "1 of 2 deployments (m-v100: no profile: looked at key y)" == page["stages"]["profiles"]
    assert "aibrix:profile_org/m_m-v100" == page["deployments"][V100.key]["profile_key"]


def test_what_is_away_and_what_failed_is_said():
    board, model = a_decided_board()
    board.redis_problem, model.failure = "no answer in time", "KeyError: x"

    page = explanation(board, model, ())

    assert ["Redis is away: no answer in time", "the last decision failed: KeyError: x"] == page["missing"]
    assert "Redis is away: no answer in time" == page["stages"]["traces"]
    late = a_board(problem="the file is broken")
    missing = explanation(late, late.models["org/m"], ())["missing"]
    assert "deployments may be out of date: the file is broken" == missing[0]


def test_files_of_no_deployment_are_notes():
    board, model = a_decided_board()
    board.notes = ("x.json: gpu = 1",)

    assert "x.json: gpu = 1" in explanation(board, model, ())["notes"]


def test_the_text_says_the_same():
    board = with_profiles(a_board(policy=Policy()))
    model = board.models["org/m"]
    heard(model, [a_window(30, {SHORT: 1.0})] * 6)
    decide(board, model)
    board.override(V100.key, 2)

    lines = as_text(explanation(board, model, ())).splitlines()

    assert "model: org/m" == lines[0]
    assert (
        "default/m-v100: 2 replicas published (0 asked for, 0 ready now, 2 asked for by hand); profile: key m-v100"
        in lines
    )
    assert any(line.startswith("plan: cost 5 ") for line in lines)
