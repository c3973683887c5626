"""The filters that decide which pods may take a request."""

from routing.filters import by_model, narrow, routable
from routing.selectors import parse_selector
from routing.types import NoCandidateReason, RouteRequest
from tests.support.pods import MODEL, a_pod, refusal


def test_a_model_has_the_pods_that_list_it_and_an_adapter_only_those_that_loaded_it() -> None:
    plain, loaded = a_pod("plain"), a_pod("loaded", models=(MODEL, "adapter"))

    assert by_model([plain, loaded]) == {MODEL: [loaded, plain], "adapter": [loaded]}


def test_the_order_of_pods_is_the_same_in_whichever_order_they_are_found() -> None:
    pods = [a_pod(name) for name in ("c", "a", "b")]

    assert by_model(pods) == by_model(reversed(pods)) == {MODEL: sorted(pods, key=lambda pod: pod.endpoint.id)}


def test_only_pods_that_are_ready_and_not_draining_are_routable() -> None:
    ready = a_pod("ready")

    assert routable([a_pod("starting", ready=False), ready, a_pod("leaving", draining=True)]) == (ready,)


def test_a_model_whose_pods_are_all_unready_says_so() -> None:
    assert refusal(lambda: routable([a_pod(ready=False), a_pod(draining=True)])) == NoCandidateReason.NOT_READY
    assert refusal(lambda: routable([])) == NoCandidateReason.NOT_READY


def test_without_subset_and_selector_nothing_is_copied() -> None:
    pods = (a_pod("a"), a_pod("b"))

    assert narrow(pods, RouteRequest(MODEL)) is pods


def test_a_subset_names_addresses_with_and_without_port() -> None:
    pods = [a_pod(str(i), address=address) for i, address in enumerate(("10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80"))]

    def inside(*subset: str) -> list[str]:
        return [pod.endpoint.address for pod in narrow(pods, RouteRequest(MODEL, subset=frozenset(subset)))]

    assert inside("10.0.0.1:81") == ["10.0.0.1:81"]
    assert inside("10.0.0.1") == ["10.0.0.1:80", "10.0.0.1:81"]
    assert inside("10.0.0.2", "10.0.0.1:80", "10.9.9.9:1") == ["10.0.0.1:80", "10.0.0.2:80"]


def test_a_subset_names_ipv6_with_and_without_brackets() -> None:
    pod = a_pod(address="[fd00::1]:80")

    for written in ("[fd00::1]:80", "[fd00::1]", "fd00::1"):
        assert narrow([pod], RouteRequest(MODEL, subset=frozenset([written]))) == [pod]


def test_a_subset_that_holds_no_candidate_says_so_and_an_empty_one_allows_nothing() -> None:
    for subset in (frozenset(["10.9.9.9:1"]), frozenset[str]()):
        request = RouteRequest(MODEL, subset=subset)
        assert refusal(lambda request=request: narrow([a_pod()], request)) == NoCandidateReason.OUTSIDE_SUBSET


def test_a_selector_keeps_the_pods_whose_labels_match() -> None:
    gold, silver = a_pod("gold", labels={"tier": "gold"}), a_pod("silver", labels={"tier": "silver"})

    assert narrow([gold, silver], RouteRequest(MODEL, selector=parse_selector("tier=gold"))) == [gold]


def test_a_selector_that_matches_nothing_says_so() -> None:
    request = RouteRequest(MODEL, selector=parse_selector("tier=gold"))

    assert refusal(lambda: narrow([a_pod()], request)) == NoCandidateReason.NO_MATCH


def test_subset_and_selector_must_both_hold() -> None:
    gold = a_pod("gold", address="10.0.0.1:80", labels={"tier": "gold"})
    other = a_pod("other", address="10.0.0.2:80")
    request = RouteRequest(MODEL, subset=frozenset(["10.0.0.2"]), selector=parse_selector("tier=gold"))

    assert refusal(lambda: narrow([gold, other], request)) == NoCandidateReason.NO_MATCH
