"""The latest decisions and the fleet, as the debug pages show them."""

import orjson

from gateway.fleet.decisions import MAX_DECISIONS, pod_page
from gateway.observability.http import Json
from routing.types import RouteRequest
from tests.support.pods import MODEL, a_fleet, an_endpoint

PROMPT = RouteRequest(MODEL, user="secret", prompt_tokens=1000, output_tokens=10, blocks=(1, 2, 3), block_tokens=300)


def test_a_decision_shows_every_candidate_with_its_score_its_parts_and_what_it_holds() -> None:
    fleet = a_fleet(an_endpoint("a"), an_endpoint("b"))
    for kind in fleet._speeds.values():
        kind.known = True
    held = fleet.route(PROMPT, "forebay", 0.0).pod.endpoint.id
    fleet.route(PROMPT, "forebay", 60.0)
    newest, first = fleet.decisions.page()
    best, other = newest["candidates"]  # type: ignore[misc]  # two rows

    assert (newest["at_s"], newest["chosen"], newest["strategy"]) == (60.0, held, "forebay")
    assert (best["pod"], best["held"], other["held"]) == (held, 900, 0)
    assert (
        best["score"]
        == sum(best[part] for part in ("wait", "prefill", "eviction_cost", "decode_slowdown", "foreign"))
        < other["score"]
    )
    assert first["request"] == {
        "model": MODEL, "prompt_tokens": 1000, "output_tokens": 10, "block_tokens": 300, "session": "",
        "held": {"a": 0, "b": 0},
    }  # fmt: skip


def test_pages_are_json_and_name_no_user() -> None:
    fleet = a_fleet(an_endpoint("a"))
    fleet.route(PROMPT, "random", 0.0)
    page = Json([fleet.decisions.page(), [pod_page(pod, 0.0) for pod in fleet.pods()]]).body

    assert orjson.loads(page)
    assert b"secret" not in page


def test_only_the_latest_are_kept_and_tickets_keep_no_scores() -> None:
    fleet = a_fleet(an_endpoint("a"))
    tickets = [fleet.route(PROMPT, "forebay", float(turn)) for turn in range(MAX_DECISIONS + 5)]

    assert [entry["at_s"] for entry in fleet.decisions.page()] == [
        float(turn) for turn in range(MAX_DECISIONS + 4, 4, -1)
    ]
    assert {ticket.decision.scored for ticket in tickets} == {None}
