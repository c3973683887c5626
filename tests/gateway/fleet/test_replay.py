"""Decisions replayed from what was recorded; tests/forebay/cli/test_explaining.py does it through files."""

import random

import orjson
import pytest

from gateway.fleet.decisions import pod_page
from gateway.fleet.replay import IncompleteRecordError, replay
from gateway.observability.http import Json
from routing.types import RouteRequest
from tests.support.pods import MODEL, a_fleet, an_endpoint


def test_a_decision_is_made_again_from_its_record() -> None:
    fleet = a_fleet(*(an_endpoint(name) for name in "abc"))
    pages = orjson.loads(Json([pod_page(pod, 0.0) for pod in fleet.pods()]).body)
    ticket = fleet.route(RouteRequest(MODEL, prompt_tokens=900), "least-request", 0.0)
    entry = orjson.loads(Json(fleet.decisions.page()[0]).body)

    decision, rows = replay(entry, pages, "least-request", random.Random(1))

    assert decision.strategy == ticket.decision.strategy
    assert {row["pod"]: row["score"] for row in rows} == {row["pod"]: row["score"] for row in entry["candidates"]}


def test_a_fleet_without_a_pod_for_the_request_is_an_error() -> None:
    with pytest.raises(IncompleteRecordError, match="no pod that can serve m"):
        replay({"model": MODEL, "prompt_tokens": 1}, [], "random", random.Random(1))
