"""The values that routing speaks in."""

import random

from routing.prefix.index import Match
from routing.types import Decision, NoCandidateError, NoCandidateReason, Rng, RouteRequest, Scored
from tests.support.choosing import REQUEST, asking_for
from tests.support.pods import an_endpoint, pods_with


def test_destinations_name_the_primary_first_and_the_fallbacks_in_order() -> None:
    a, b, c = (an_endpoint(name, address=f"10.0.0.{name}:80") for name in "123")

    assert Decision(b, "why", "random", (c, a)).destinations == "10.0.0.2:80,10.0.0.3:80,10.0.0.1:80"


def test_destinations_keep_the_brackets_of_ipv6() -> None:
    assert Decision(an_endpoint(address="[::1]:80"), "why", "random").destinations == "[::1]:80"


def test_no_candidate_carries_its_reason_as_data_and_as_text() -> None:
    error = NoCandidateError(NoCandidateReason.NO_MATCH)

    assert (error.why, str(error)) == (NoCandidateReason.NO_MATCH, "no-match")


def test_what_a_pod_holds_counts_the_first_block_as_short_as_it_is() -> None:
    pods = pods_with(0, 0, 0)
    pods[1].cache.insert([1], 0, 0.0)
    pods[2].cache.insert([1, 2], 0, 0.0)
    request = asking_for(pods, [1, 2, 3])._replace(first_block_missing_tokens=90.0)

    assert [request.cached_tokens(pod) for pod in pods] == [0, 10, 110]
    assert [request.uncached_tokens(pod) for pod in pods] == [1000, 990, 890]


def test_a_request_with_a_match_differs_in_nothing_else() -> None:
    request, match = REQUEST._replace(user="u", blocks=(1, 2), block_tokens=9.0), Match(((2, 1),))

    assert {"match": match} == _changes(request, request.with_match(match))


def test_a_request_without_blocks_keeps_its_match() -> None:
    request = REQUEST._replace(user="u", blocks=(1, 2), block_tokens=9.0, match=Match(((2, 1),)))

    assert {"blocks": ()} == _changes(request, request.without_blocks())


def test_a_decision_without_scores_keeps_where_it_goes_and_why() -> None:
    decision = Decision(an_endpoint(), "why", "random", (an_endpoint("b"),), "no-blocks", Scored((), ()))

    assert {"scored": None} == _changes(decision, decision.without_scores())


def _changes(before: RouteRequest | Decision, after: RouteRequest | Decision) -> dict[str, object]:
    """Fields by name that differ."""
    was, now = before._asdict(), after._asdict()
    return {name: now[name] for name in was if was[name] != now[name]}


def test_the_standard_generator_is_an_rng() -> None:
    rng: Rng = random.Random(1)

    assert sorted(rng.sample("abc", 3)) == ["a", "b", "c"]
