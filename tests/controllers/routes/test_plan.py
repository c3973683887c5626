"""The objects that there should be."""

from collections.abc import Sequence
from typing import Any

import pytest

from controllers.owned import LABELS, Owned
from controllers.routes.names import RESERVED, grant_name, route_name
from controllers.routes.objects import Home, Route
from controllers.routes.plan import Found, Plan, Rules, ours, plan
from controllers.routes.workloads import DEPLOYMENTS, Claim, claim_of
from kube.objects import Metadata, Object
from tests.controllers.routes.test_objects import MODEL_MATCH, a_condition, by_hand, with_status
from tests.support.kubernetes.workloads import a_workload

HOME = Home("aibrix-system", "aibrix-eg")
RULES = Rules(HOME, ("/v1/chat/completions", "/v1/completions"), "1h")
NOTHING = Found({}, {}, {})


def claims_of(*workloads: Object) -> list[Claim]:
    return [claim for workload in workloads if (claim := claim_of(DEPLOYMENTS, workload)) is not None]


def planned(*workloads: Object, found: Found = NOTHING) -> Plan:
    return plan(RULES, claims_of(*workloads), found)


def rules_of(made: Plan, model: str) -> Sequence[dict[str, Any]]:
    return made.wanted[f"HTTPRoute/aibrix-system/{route_name(model)}"].spec["rules"]


def backends(made: Plan, model: str) -> list[tuple[str, str, int]]:
    return [(one["namespace"], one["name"], one["port"]) for one in rules_of(made, model)[0]["backendRefs"]]


def paths(made: Plan, model: str) -> list[str]:
    return [match["path"]["value"] for rule in rules_of(made, model) for match in rule["matches"]]


def reasons(made: Plan) -> list[tuple[str, str]]:
    return [(problem.about.metadata.name, problem.reason) for problem in made.problems]


def found(*routes: Route, grants: Sequence[Owned] = ()) -> Found:
    return Found({one.metadata.key: one for one in routes}, {one.metadata.key: one for one in grants}, {})


def metadata(name: str, namespace: str = "aibrix-system", labels: dict[str, str] | None = None) -> Metadata:
    return Metadata(name=name, namespace=namespace, uid=name, labels=LABELS if labels is None else labels)


def test_a_model_has_a_route_and_its_namespace_a_grant():
    made = planned(a_workload(namespace="a"))

    assert {
        "HTTPRoute/aibrix-system/m-router",
        "ReferenceGrant/a/aibrix-system-reserved-referencegrant-in-a",
        f"HTTPRoute/aibrix-system/{RESERVED}",
        f"HTTPRouteFilter/aibrix-system/{RESERVED}",
    } == made.wanted.keys()
    assert ([("a", "m", 8000)], list(RULES.paths)) == (backends(made, "m"), paths(made, "m"))
    assert {"request": "1h"} == rules_of(made, "m")[0]["timeouts"]
    assert () == tuple(made.problems)


def test_without_models_there_is_the_reserved_route_alone():
    assert {RESERVED} == {wanted.name for wanted in planned().wanted.values()}


def test_without_envoy_gateways_own_kind_the_reserved_route_has_no_filter():
    made = planned(found=Found({}, {}, None))

    (reserved,) = made.wanted.values()
    assert ("HTTPRoute", False) == (reserved.kind.name, "filters" in reserved.spec["rules"][0])


def test_models_at_home_need_no_grant():
    assert not [wanted for wanted in planned(a_workload(namespace="aibrix-system")).wanted if "Grant" in wanted]


def test_two_workloads_share_a_route_until_the_last_one_goes():
    v100, l20 = a_workload("v100"), a_workload("l20")

    together, alone = planned(v100, l20), planned(l20)

    assert together.wanted == alone.wanted
    assert "HTTPRoute/aibrix-system/m-router" not in planned().wanted


def test_a_model_in_two_namespaces_has_both_services_behind_it():
    made = planned(a_workload("x", namespace="b", port="9000"), a_workload("y", namespace="a"))

    assert [("a", "m", 8000), ("b", "m", 9000)] == backends(made, "m")
    assert {"a", "b"} == {wanted.namespace for id_, wanted in made.wanted.items() if "Grant" in id_}


def test_custom_paths_of_all_workloads_are_added_and_the_longest_timeout_holds():
    made = planned(
        a_workload("x", _paths="/version,/v1/chat/completions/x", _timeout="90s"),
        a_workload("y", _paths="/a", _timeout="2h"),
    )

    assert [*RULES.paths, "/a", "/version"] == paths(made, "m")
    assert {"request": "2h"} == rules_of(made, "m")[0]["timeouts"]
    assert {"request": "1h"} == rules_of(planned(a_workload("x", _timeout="90s"), a_workload("y")), "m")[0]["timeouts"]


def test_a_problem_of_one_workload_is_its_alone():
    made = planned(a_workload("x", port="nope"), a_workload("y", model="n", port="9000"))

    assert [("x", "BadPort")] == reasons(made)
    assert ([("default", "m", 8000)], [("default", "n", 9000)]) == (backends(made, "m"), backends(made, "n"))


def test_a_workload_whose_model_cannot_be_sent_gets_nothing():
    made = planned(a_workload(namespace="a", model="", _name="a\nb"))

    assert ({RESERVED}, [("d", "BadModelName")]) == ({one.name for one in made.wanted.values()}, reasons(made))


def test_more_paths_and_services_than_a_route_takes_are_left_out_and_told():
    many = [a_workload(f"d{number:02}", _service=f"s{number:02}") for number in range(17)]
    made = planned(*many, a_workload("p", model="n", _paths=",".join(f"/p{number:03}" for number in range(130))))

    assert (16, 128) == (len(backends(made, "m")), len(paths(made, "n")))
    assert {("p", "TooManyPaths"), *((f"d{number:02}", "TooManyServices") for number in range(17))} == set(
        reasons(made)
    )
    assert "the route of 'n' has the first 128 of 132" in [problem.note for problem in made.problems]


def test_of_two_models_whose_routes_are_called_alike_the_older_has_it():
    plain = route_name("A_b").removesuffix("-router")  # as somebody may call a model on purpose
    made = planned(a_workload("new", model=plain, created="2026-02-02T00:00:00Z"), a_workload("old", model="A_b"))

    header = rules_of(made, "A_b")[0]["matches"][0]["headers"][0]
    assert ("A_b", [("new", "RouteNameTaken")]) == (header["value"], reasons(made))


def test_a_route_of_others_is_told_and_the_grant_is_there_all_the_same():
    route = Route(metadata("m-router", labels={}))

    made = planned(a_workload(namespace="a"), found=found(route))

    assert [("d", "RouteNotOurs")] == reasons(made)
    assert not made.problems[0].is_warning
    assert f"ReferenceGrant/a/{grant_name('aibrix-system', 'a')}" in made.wanted
    assert set() == ours(found(route), HOME)


def test_a_route_by_hand_of_a_model_without_a_workload_gets_a_grant_too():
    spec = by_hand(matches=[MODEL_MATCH], backendRefs=[{"name": "m", "namespace": "default"}]).spec
    route = Route(metadata("qwen-coder-7b-instruct-router", labels={}), spec)

    assert f"ReferenceGrant/default/{grant_name('aibrix-system', 'default')}" in planned(found=found(route)).wanted


@pytest.mark.parametrize("name", ["m-router", RESERVED])
def test_what_the_gateway_refuses_is_told_when_it_has_lasted(name: str):
    said = with_status(("aibrix-eg", [a_condition("Accepted", "True"), a_condition("ResolvedRefs", "False")]))
    route = Route(metadata(name), status=said.status)

    (problem,) = planned(a_workload(), found=found(route)).problems

    assert ("RouteR", 5.0, True) == (problem.reason, problem.patience_s, problem.is_warning)
    assert f"HTTPRoute aibrix-system/{name}: ResolvedRefs is False, R: m" == problem.note
    assert ("d" if name == "m-router" else RESERVED) == problem.about.metadata.name


def test_a_grant_and_a_reserved_route_of_others_are_told():
    grant = Owned(metadata(grant_name("aibrix-system", "a"), "a", {}))
    route = Route(metadata(RESERVED, labels={"app.kubernetes.io/managed-by": "Helm"}))

    made = planned(a_workload(namespace="a"), found=found(route, grants=[grant]))

    assert [("d", "GrantNotOurs"), (RESERVED, "RouteNotOurs")] == reasons(made)


def test_ours_are_objects_with_our_label_and_of_grants_those_of_this_home():
    own = Owned(metadata(grant_name("aibrix-system", "a"), "a"))
    others = [
        Owned(metadata(grant_name("elsewhere", "a"), "a")),
        Owned(metadata(grant_name("aibrix-system", "b"), "b", {})),
    ]
    there = found(Route(metadata("old-router")), Route(metadata("by-hand", labels={})), grants=[own, *others])

    assert {"HTTPRoute/aibrix-system/old-router", f"ReferenceGrant/a/{own.metadata.name}"} == ours(there, HOME)
