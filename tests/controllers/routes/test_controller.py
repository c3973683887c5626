"""The controller of routes, told by a server that answers as written here; the real one: tests/kubernetes."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import msgspec
import pytest

from controllers.owned import Wanted
from controllers.routes.controller import RoutesController
from controllers.routes.names import RESERVED
from controllers.routes.objects import FILTERS, GRANTS, ROUTES
from controllers.routes.workloads import ADAPTERS, DEPLOYMENTS, FLEETS, STATEFUL_SETS
from kube.client import Client
from kube.events import EVENTS, Recorder
from kube.objects import Kind
from tests.controllers.routes.test_plan import HOME, RULES, planned
from tests.support.kubernetes import script
from tests.support.kubernetes.conversation import ANY, Answer, Double, Exchange, Request, answer
from tests.support.kubernetes.hands import Hands
from tests.support.kubernetes.script import talking
from tests.support.kubernetes.workloads import a_workload
from tests.support.polling import until
from tests.support.running import running

AT_HOME = (ROUTES, FILTERS)
MISSING, FORBIDDEN = answer("404 page not found", status=404), answer('{"code": 403, "message": "no"}', status=403)
TAKEN = answer('{"code": 409, "reason": "AlreadyExists"}', status=409)
OK = answer("{}")


def a_set(kind: Kind[Any], *items: dict[str, Any]) -> list[Exchange]:
    return script.a_set(kind.path(HOME.namespace if kind in AT_HOME else ""), *items)


def not_listed(kind: Kind[Any], why: Answer) -> list[Exchange]:
    """The list of a kind, refused however often it is asked for."""
    return [(a_set(kind)[0][0], why)] * 50


def a_cluster(**sets: Sequence[dict[str, Any]]) -> list[Exchange]:
    """A cluster with these objects by plural, without kinds of AIBrix."""
    kinds = (DEPLOYMENTS, STATEFUL_SETS, ROUTES, GRANTS, FILTERS)
    listed = [exchange for kind in kinds for exchange in a_set(kind, *sets.get(kind.plural, ()))]
    return [*listed, *not_listed(ADAPTERS, MISSING), *not_listed(FLEETS, MISSING)]


def a_deployment(name: str = "d", **labels: str) -> dict[str, Any]:
    return msgspec.to_builtins(a_workload(name, **labels))


def an_object(wanted: Wanted, version: str = "3", **changes: Any) -> dict[str, Any]:
    made = wanted.body()
    made["metadata"] |= {"uid": wanted.name, "resourceVersion": version}
    return made | changes


def there(*left_out: str) -> dict[str, list[dict[str, Any]]]:
    """The objects of the model `m`, by plural, without those whose ids are left out."""
    sets: dict[str, list[dict[str, Any]]] = {}
    for id_, wanted in planned(a_workload()).wanted.items():
        if id_ not in left_out:
            sets.setdefault(wanted.kind.plural, []).append(an_object(wanted))
    return sets


def a_call(method: str, kind: Kind[Any], namespace: str, name: str = "", told: Answer = OK) -> Exchange:
    query = "" if method == "DELETE" else "?fieldManager=forebay-test"
    media_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
    return Request(method, f"{kind.path(namespace, name)}{query}", ANY, media_type), told


def a_controller(client: Client) -> RoutesController:
    """A controller whose clocks stand still, so that what failed is not tried again."""
    clocks = Hands().clocks()
    recorder = Recorder(client, "forebay-test", "i", clocks=clocks, rng=Random(1))
    return RoutesController(client, RULES, recorder, clocks, Random(2))


@asynccontextmanager
async def following(exchanges: Iterable[Exchange]) -> AsyncIterator[tuple[RoutesController, Double]]:
    """A controller that stands by."""
    async with talking(exchanges) as (client, double):
        controller = a_controller(client)
        async with running(*(informer.run() for informer in controller.followed)):
            yield controller, double


@asynccontextmanager
async def leading(exchanges: Iterable[Exchange]) -> AsyncIterator[tuple[RoutesController, Double]]:
    """A controller that leads."""
    async with following(exchanges) as (controller, double), running(controller.lead()):
        yield controller, double


def writes(double: Double) -> list[tuple[str, str]]:
    """Method and path of what was written so far, events aside."""
    asked = [(request.method, request.target.partition("?")[0]) for request in double.asked if request.method != "GET"]
    return [one for one in asked if not one[1].endswith("/events")]


def unsaid(double: Double) -> list[Request]:
    """The writes that are still to come."""
    return [request for request in double.unsaid if request.method != "GET"]


def told(double: Double) -> list[tuple[str, str, str]]:
    """Object, reason and note of the events so far."""
    events = [json.loads(one.body) for one in double.asked if one.method == "POST" and "/events?" in one.target]
    return [(event["regarding"]["name"], event["reason"], event["note"]) for event in events]


async def test_what_lacks_is_made():
    home = HOME.namespace
    calls = [
        a_call("POST", ROUTES, home),
        a_call("POST", ROUTES, home),
        a_call("POST", FILTERS, home),
        a_call("POST", GRANTS, "default"),
    ]
    async with leading([*a_cluster(deployments=[a_deployment()]), *calls]) as (_, double):
        await until(lambda: not unsaid(double))

        made = sorted(json.loads(one.body)["metadata"]["name"] for one in double.asked if one.method == "POST")
        assert [RESERVED, RESERVED, "aibrix-system-reserved-referencegrant-in-default", "m-router"] == made


async def test_where_all_is_as_it_should_be_nothing_is_written():
    async with leading(a_cluster(deployments=[a_deployment()], **there())) as (controller, double):
        await until(lambda: not list(controller.missing()) and controller.queue.attempts.done > 0)
        await asyncio.sleep(0.1)

        assert [] == writes(double)
        assert {"accepted": 0, "refused": 0, "pending": 2} == controller.states()


async def test_what_others_changed_drifts_back():
    sets = there()
    (route,) = (one for one in sets["httproutes"] if one["metadata"]["name"] == "m-router")
    route["spec"] = {**route["spec"], "hostnames": ["example.org"], "rules": []}
    call = a_call("PATCH", ROUTES, HOME.namespace, "m-router")
    async with leading([*a_cluster(deployments=[a_deployment()], **sets), call]) as (_, double):
        await until(lambda: not unsaid(double))

        patch = json.loads(double.asked[-1].body)
        assert ("3", None, 1) == (
            patch["metadata"]["resourceVersion"],
            patch["spec"]["hostnames"],
            len(patch["spec"]["rules"]),
        )


async def test_what_nobody_asks_for_goes_and_what_is_not_ours_stays():
    sets = there()
    by_hand = an_object(Wanted(ROUTES, HOME.namespace, "by-hand", {}))
    by_hand["metadata"]["labels"] = {}
    sets["httproutes"].append(by_hand)
    calls = [
        a_call("DELETE", ROUTES, HOME.namespace, "m-router"),
        a_call("DELETE", GRANTS, "default", "aibrix-system-reserved-referencegrant-in-default"),
    ]
    async with leading([*a_cluster(**sets), *calls]) as (_, double):
        await until(lambda: not unsaid(double))
        await asyncio.sleep(0.1)

        assert [
            {"preconditions": {"uid": name}}
            for name in ("aibrix-system-reserved-referencegrant-in-default", "m-router")
        ] == (sorted((json.loads(one.body) for one in double.asked if one.method == "DELETE"), key=str))
        assert 2 == len(writes(double))


@pytest.mark.parametrize(
    ("unknown", "why"),
    [
        ((ROUTES, MISSING), ["HTTPRoute of gateway.networking.k8s.io/v1 is not installed"]),
        ((DEPLOYMENTS, FORBIDDEN), ["Deployment is not followed: no"]),
        ((ADAPTERS, FORBIDDEN), ["ModelAdapter is not followed: no"]),
        ((FILTERS, FORBIDDEN), ["HTTPRouteFilter is not followed: no"]),
    ],
)
async def test_while_a_set_is_not_known_nothing_is_deleted_for_want_of_it(
    unknown: tuple[Kind[Any], Answer], why: list[str]
):
    kind, refusal = unknown
    path = kind.path(HOME.namespace if kind in AT_HOME else "")
    others = [one for one in a_cluster(**there()) if one[0].target.partition("?")[0] != path]
    async with leading([*others, *not_listed(kind, refusal)]) as (controller, double):
        informers = {informer.kind: informer for informer in controller.followed}
        await until(lambda: informers[kind].failure is not None and informers[GRANTS].is_current)
        await asyncio.sleep(0.2)

        assert ([], why) == (writes(double), list(controller.missing()))


async def test_an_older_gateway_api_gets_fewer_matches_per_rule():
    causes = [{"reason": "FieldValueTooMany", "message": "at most 8", "field": "spec.rules[0].matches"}]
    too_many = answer(json.dumps({"code": 422, "reason": "Invalid", "details": {"causes": causes}}), status=422)
    home = HOME.namespace
    calls = [a_call("POST", ROUTES, home, told=too_many), a_call("POST", ROUTES, home)]
    paths = ",".join(f"/p{number}" for number in range(10))
    workload = msgspec.to_builtins(a_workload(_paths=paths))
    sets = there("HTTPRoute/aibrix-system/m-router")
    async with leading([*a_cluster(deployments=[workload], **sets), *calls]) as (_, double):
        await until(lambda: not unsaid(double))

        bodies = [json.loads(one.body) for one in double.asked if one.method == "POST"]
        assert [[12], [8, 4]] == [[len(rule["matches"]) for rule in one["spec"]["rules"]] for one in bodies]


async def test_what_the_server_refuses_is_told_and_tried_again_later_while_others_go_on():
    calls = [
        a_call("POST", GRANTS, "default", told=FORBIDDEN),
        a_call("POST", ROUTES, HOME.namespace),
        a_call("POST", EVENTS, "default"),
    ]
    sets = there(
        "HTTPRoute/aibrix-system/m-router", "ReferenceGrant/default/aibrix-system-reserved-referencegrant-in-default"
    )
    async with leading([*a_cluster(deployments=[a_deployment()], **sets), *calls]) as (controller, double):
        await until(lambda: not unsaid(double))

        grant = "ReferenceGrant/default/aibrix-system-reserved-referencegrant-in-default"
        assert [("d", "NotWritten", f"{grant}: no")] == told(double)
        assert {grant: 1} == controller.queue.failing


async def test_who_leads_no_more_has_nothing_left_and_who_leads_again_tries_all_anew():
    id_ = "ReferenceGrant/default/aibrix-system-reserved-referencegrant-in-default"
    calls = [a_call("POST", GRANTS, "default", told=FORBIDDEN), a_call("POST", GRANTS, "default")]
    cluster = a_cluster(deployments=[a_deployment()], **there(id_))
    async with following([*cluster, *calls]) as (controller, double):
        async with running(controller.lead()):
            await until(lambda: {id_: 1} == controller.queue.failing)
        assert (0, {}) == (len(controller.queue), controller.queue.failing)

        async with running(controller.lead()):
            await until(lambda: not unsaid(double))


async def test_an_object_that_somebody_made_meanwhile_is_looked_at_again():
    calls = [a_call("POST", ROUTES, HOME.namespace, told=TAKEN)]
    sets = there("HTTPRoute/aibrix-system/m-router")
    async with leading([*a_cluster(deployments=[a_deployment()], **sets), *calls]) as (controller, double):
        await until(lambda: not unsaid(double))
        await until(lambda: len(controller.queue) > 0)

        assert {} == controller.queue.failing


async def test_a_label_that_cannot_be_used_is_an_event_of_its_workload():
    calls = [a_call("POST", EVENTS, "default")]
    async with leading([*a_cluster(deployments=[a_deployment(port="http")], **there()), *calls]) as (_, double):
        await until(lambda: not unsaid(double))

        assert [("d", "BadPort", "label model.aibrix.ai/port = 'http', is not used")] == told(double)
        assert [] == writes(double)
