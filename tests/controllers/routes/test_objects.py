"""The objects that are made and read; the real API server takes them in tests/kubernetes/test_routes.py."""

from typing import Any

import msgspec
import orjson
import pytest

from controllers.owned import LABELS
from controllers.routes.objects import (
    ROUTES,
    Home,
    ModelRoute,
    Route,
    filter_spec,
    grant_spec,
    has_too_many_matches,
    is_model_route,
    namespaces_of,
    reserved_spec,
    route_spec,
    shortest_prefixes,
    verdicts,
)
from controllers.routes.workloads import Backend
from forebay.cluster.controllers import engine_paths
from gateway.openai.operations import Operation
from kube.errors import ApiError, Cause

HOME = Home("aibrix-system", "aibrix-eg")
BACKENDS = (Backend("a", "m", 8000), Backend("b", "m", 9000))


def a_route(paths: tuple[str, ...], matches: int = 64) -> dict[str, Any]:
    return route_spec(HOME, ModelRoute("org/M", BACKENDS, paths, "90s"), matches)


def matched(route: dict[str, Any], path: str, headers: dict[str, str]) -> tuple[int, int] | None:
    """The strength of the route's best match, as the Gateway API orders them: length of the prefix, then headers."""
    found = [
        (len(match["path"]["value"]), len(match.get("headers", ())))
        for rule in route["rules"]
        for match in rule["matches"]
        if f"{path}/".startswith(f"{match['path']['value'].rstrip('/')}/")
        and all(headers.get(header["name"]) == header["value"] for header in match.get("headers", ()))
    ]
    return max(found, default=None)


def test_a_model_is_matched_exactly_by_its_header_on_every_path():
    (rule,) = a_route(("/v1/a", "/v1/b"))["rules"]

    assert [
        ({"type": "PathPrefix", "value": path}, [{"type": "Exact", "name": "model", "value": "org/M"}])
        for path in ("/v1/a", "/v1/b")
    ] == [(match["path"], match["headers"]) for match in rule["matches"]]
    assert [("a", "m", 8000), ("b", "m", 9000)] == [
        (backend["namespace"], backend["name"], backend["port"]) for backend in rule["backendRefs"]
    ]
    assert {"request": "90s"} == rule["timeouts"]


@pytest.mark.parametrize(("count", "matches", "rules"), [(64, 64, [64]), (65, 64, [64, 1]), (128, 8, [8] * 16)])
def test_more_matches_than_a_rule_may_have_are_more_rules(count: int, matches: int, rules: list[int]):
    made = a_route(tuple(f"/p{number}" for number in range(count)), matches)

    assert rules == [len(rule["matches"]) for rule in made["rules"]]
    assert 1 == len({orjson.dumps(rule["backendRefs"]) for rule in made["rules"]})


def test_the_paths_of_the_gateway_fit_into_one_rule_and_in_older_versions_into_a_route():
    assert len(engine_paths()) <= 64
    assert len(a_route(engine_paths(), 8)["rules"]) <= 16


@pytest.mark.parametrize("operation", [one for one in Operation if one.body is not None], ids=lambda one: one.path)
def test_with_the_header_the_route_of_the_model_wins_on_every_path_that_engines_serve(operation: Operation):
    path = operation.path.replace("{id}", "resp_1")
    route, reserved = a_route(engine_paths()), reserved_spec(HOME, has_filter=True)

    with_header = matched(route, path, {"model": "org/M"})
    assert with_header is not None
    assert with_header > matched(reserved, path, {"model": "org/M"})
    assert matched(route, path, {"model": "org/m"}) is None
    assert matched(route, path, {}) is None
    assert matched(reserved, path, {}) is not None


@pytest.mark.parametrize("path", ["/sleep", "/v1/load_lora_adapter", "/metrics", "/v1/models/x", "/v1/chatter", "/"])
def test_no_route_of_a_model_leads_to_other_paths(path: str):
    assert matched(a_route(engine_paths()), path, {"model": "org/M"}) is None


def test_prefixes_of_others_stand_for_them():
    paths = ("/v1/chat", "/v1/chat/x", "/v1/chatter", "/v1/chat", "/b/c", "/b")

    assert ("/v1/chat", "/v1/chatter", "/b") == shortest_prefixes(paths)
    assert ("/",) == shortest_prefixes(("/a", "/", "/b/c"))


def test_the_reserved_route_leads_to_no_engine():
    with_filter, without = (reserved_spec(HOME, has_filter=has_filter)["rules"] for has_filter in (True, False))

    assert [False, False] == ["backendRefs" in rule for rule in (*with_filter, *without)]
    assert "HTTPRouteFilter" == with_filter[0]["filters"][0]["extensionRef"]["kind"]
    assert "filters" not in without[0]


def test_a_request_without_a_route_is_answered_in_the_shape_of_errors():
    said = filter_spec()["directResponse"]

    assert (503, "service_unavailable") == (said["statusCode"], orjson.loads(said["body"]["inline"])["error"]["code"])
    assert {"retry-after", "x-error-no-model-backends"} == {one["name"] for one in said["header"]["set"]}
    assert "%" not in said["body"]["inline"]  # Envoy would read a command


def test_a_grant_lets_the_routes_at_home_name_services():
    assert {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "aibrix-system"}],
        "to": [{"group": "", "kind": "Service"}],
    } == grant_spec(HOME)


def a_condition(kind: str, status: str, generation: int = 2) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": "R", "message": "m", "observedGeneration": generation}


def with_status(*parents: tuple[str, list[dict[str, Any]]]) -> Route:
    told = [{"parentRef": {"name": name}, "conditions": conditions} for name, conditions in parents]
    metadata = {"name": "m-router", "namespace": "aibrix-system", "generation": 2, "labels": LABELS}
    return ROUTES.decode(msgspec.json.encode({"metadata": metadata, "spec": {}, "status": {"parents": told}}))


def test_the_verdict_is_that_of_our_gateway_on_the_newest_spec():
    own = [a_condition("Accepted", "True"), a_condition("ResolvedRefs", "False", 1), a_condition("Other", "False")]
    route = with_status(("aibrix-eg", own), ("another", [a_condition("Accepted", "False")]))

    assert {"Accepted": "True"} == {kind: verdict.status for kind, verdict in verdicts(HOME, route).items()}
    assert {} == verdicts(HOME, with_status())


def by_hand(**rule: Any) -> Route:
    parents = [{"name": "aibrix-eg"}]
    return Route(spec={"parentRefs": parents, "rules": [rule]})


MODEL_MATCH = {"headers": [{"name": "Model", "value": "m"}]}


def test_a_route_written_by_hand_is_of_a_model_when_it_matches_the_header():
    assert is_model_route(HOME, by_hand(matches=[{"path": {}}, MODEL_MATCH]))
    assert not is_model_route(HOME, by_hand(matches=[{"headers": [{"name": "user", "value": "m"}]}]))
    assert not is_model_route(Home("aibrix-system", "another"), by_hand(matches=[MODEL_MATCH]))
    assert not is_model_route(HOME, by_hand())


def test_the_other_namespaces_of_a_route_are_those_of_its_backends():
    route = by_hand(backendRefs=[{"name": "m", "namespace": "a"}, {"name": "m"}, {"name": "x", "namespace": "b"}])

    assert {"a", "b"} == namespaces_of(route)


@pytest.mark.parametrize(("field", "is_so"), [("spec.rules[0].matches", True), ("spec.rules[0].timeouts", False)])
def test_a_server_that_takes_fewer_matches_is_recognised(field: str, is_so: bool):
    error = ApiError("invalid", 422, "Invalid", (Cause("FieldValueTooMany", "must have at most 8 items", field),))

    assert is_so == has_too_many_matches(error)
