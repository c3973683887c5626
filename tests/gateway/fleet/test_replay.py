"""Decisions replayed from what was recorded; tests/forebay/cli/test_explaining.py does it through files."""

import random

import orjson
import pytest

from gateway.discovery.probing.readings import Readings
from gateway.fleet.decisions import pod_page
from gateway.fleet.hints import plan_of
from gateway.fleet.replay import IncompleteRecordError, replay
from gateway.observability.http import Json
from routing.types import RouteRequest, Signal
from tests.support.hints import a_hint
from tests.support.plans import LONG, asking
from tests.support.pods import MODEL, a_fleet, an_endpoint


def test_a_decision_is_made_again_from_its_record() -> None:
    fleet = a_fleet(*(an_endpoint(name) for name in "abc"))
    pages = orjson.loads(Json([pod_page(pod, 0.0) for pod in fleet.pods()]).body)
    ticket = fleet.route(RouteRequest(MODEL, prompt_tokens=900), "least-request", 0.0)
    entry = orjson.loads(Json(fleet.decisions.page()[0]).body)

    decision, rows = replay(entry, pages, "least-request", random.Random(1))

    assert decision.strategy == ticket.decision.strategy
    assert {row["pod"]: row["score"] for row in rows} == {row["pod"]: row["score"] for row in entry["candidates"]}


@pytest.mark.parametrize("speeds_are_known", [False, True])
def test_what_others_had_on_a_pod_counts_again(*, speeds_are_known: bool) -> None:
    fleet = a_fleet(*(an_endpoint(name) for name in "abc"))
    for pod in fleet.pods():
        pod.speed.known = speeds_are_known
    for name in "ab":
        fleet.apply_readings(name, Readings({Signal.RUNNING: 3.0, Signal.WAITING: 5.0}), 0.0, 9.0)
    pages = orjson.loads(Json([pod_page(pod, 0.0) for pod in fleet.pods()]).body)
    fleet.route(RouteRequest(MODEL, prompt_tokens=900), "forebay", 0.0)
    entry = orjson.loads(Json(fleet.decisions.page()[0]).body)

    decision, rows = replay(entry, pages, "forebay", random.Random(1))

    assert (decision.pod.id, decision.reason) == ("c", entry["reason"])
    assert decision.reason.partition(", fallback")[0].endswith("foreign load on 2 of 3 pods")
    assert {row["pod"]: row["score"] for row in rows} == {row["pod"]: row["score"] for row in entry["candidates"]}


def test_a_decision_by_plan_is_made_again_with_its_hint() -> None:
    endpoints = [
        an_endpoint(name, deployment=deployment) for name, deployment in zip("abc", ("l20", "l20", "v100"), strict=True)
    ]
    fleet = a_fleet(*endpoints)
    fleet.plans.put(MODEL, plan_of(a_hint()))
    pages = orjson.loads(Json([pod_page(pod, 0.0) for pod in fleet.pods()]).body)
    ticket = fleet.route(asking(LONG), "slo", 0.0)
    entry = orjson.loads(Json(fleet.decisions.page()[0]).body)

    again, _ = replay(entry, pages, "slo", random.Random(1), plan_of(a_hint()))
    asked, _ = replay(entry["request"], pages, "slo", random.Random(1), plan_of(a_hint()))
    without, _ = replay(entry["request"], pages, "slo", random.Random(1))

    assert ["c"] * 3 == [ticket.decision.pod.id, again.pod.id, asked.pod.id]
    assert entry["reason"] == again.reason == asked.reason
    assert "speed-unknown+no-plan" == without.fallback


def test_a_fleet_without_a_pod_for_the_request_is_an_error() -> None:
    with pytest.raises(IncompleteRecordError, match="no pod that can serve m"):
        replay({"model": MODEL, "prompt_tokens": 1}, [], "random", random.Random(1))
