"""The controller of routes, as processes, on the real API server with the kinds of the Gateway API."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from controllers.owned import MANAGED_BY
from controllers.routes.names import PATHS, RESERVED, SERVICE, TIMEOUT, route_name
from controllers.routes.objects import FILTERS, GRANTS, ROUTES, Route
from controllers.routes.workloads import ADAPTERS, FLEETS, STATEFUL_SETS
from kube.client import Client, Selection
from kube.election import Terms
from kube.errors import AlreadyExists, NotFound
from kube.models import MODEL, PORT
from kube.objects import Kind, Object, body
from tests.kubernetes.conftest import eventually
from tests.support.kubernetes import gateway_api
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.controllers import Controllers, controllers
from tests.support.kubernetes.deployments import DEPLOYMENTS

HOME = "aibrix-system"
SPACES = Kind("", "v1", "Namespace", "namespaces", Object)
GATEWAY_CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"


class Told(Object, frozen=True):
    """An event."""

    reason: str = ""
    note: str = ""
    regarding: dict[str, str] = msgspec.field(default_factory=dict)


EVENTS = Kind("events.k8s.io", "v1", "Event", "events", Told)


@pytest.fixture
async def api(client: Client) -> Client:
    """The API server, with some namespaces."""
    for name in (HOME, "elsewhere", "a", "b"):
        with suppress(AlreadyExists):
            await client.create(SPACES, body(SPACES, name))
    return client


@pytest.fixture(scope="module")
def started(plane: ControlPlane) -> Iterator[Controllers]:
    with controllers(plane.kubeconfig, plane.folder / "controllers.log") as process:
        yield process


@pytest.fixture
async def running(api: Client, started: Controllers) -> Controllers:
    await eventually(started.leads)
    return started


def a_workload(
    name: str, namespace: str = "a", model: str = "", kind: Kind[Any] = DEPLOYMENTS, **more: str
) -> dict[str, Any]:
    """A workload without pods; `more` are what it asks for, by the last word of the label or annotation."""
    own, template = {"app": name}, {"containers": [{"name": "c", "image": "none"}]}
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": own},
        "template": {"metadata": {"labels": own}, "spec": template},
    }
    labels = {MODEL: model or name} | ({PORT: more["port"]} if "port" in more else {})
    keys = {"service": SERVICE, "paths": PATHS, "timeout": TIMEOUT}
    annotations = {keys[word]: value for word, value in more.items() if word in keys}
    return body(kind, name, namespace, metadata={"labels": labels, "annotations": annotations}, spec=spec)


async def find(client: Client, kind: Kind[Any], name: str, namespace: str) -> Any:
    """The object, or None."""
    try:
        return await client.get(kind, name, namespace)
    except NotFound:
        return None


def route_of(client: Client, model: str, home: str = HOME) -> Awaitable[Route | None]:
    return find(client, ROUTES, route_name(model), home)


async def gone(client: Client, model: str) -> bool:
    return await route_of(client, model) is None


def rules(route: Route | None) -> list[dict[str, Any]]:
    return route.spec["rules"] if route else []


def backends(route: Route | None) -> set[tuple[str, str, int]]:
    named = [one for rule in rules(route) for one in rule["backendRefs"]]
    return {(one["namespace"], one["name"], one["port"]) for one in named}


def paths(route: Route | None) -> set[str]:
    return {match["path"]["value"] for rule in rules(route) for match in rule["matches"]}


async def routed(client: Client, model: str, condition: Callable[[Route], object] = lambda _: True) -> Route:
    """The route of the model, as soon as it is so."""
    found: list[Route] = []

    async def is_so() -> bool:
        route = await route_of(client, model)
        if route is not None and condition(route):
            found.append(route)
        return bool(found)

    await eventually(is_so)
    return found[0]


async def told(client: Client, name: str, namespace: str = "a") -> dict[str, str]:
    """Reasons and notes of the events about an object."""
    events, _ = await client.list(EVENTS, Selection(namespace))
    return {event.reason: event.note for event in events if event.regarding.get("name") == name}


async def until_told(client: Client, name: str, reason: str, namespace: str = "a") -> str:
    async def is_told() -> bool:
        return reason in await told(client, name, namespace)

    await eventually(is_told)
    return (await told(client, name, namespace))[reason]


async def test_a_labelled_deployment_has_a_route_within_a_second_until_it_goes(running: Controllers, api: Client):
    took_s = []
    for number in range(5):
        began_s = time.monotonic()
        await api.create(DEPLOYMENTS, a_workload(f"quick-{number}"))
        await routed(api, f"quick-{number}")
        took_s.append(time.monotonic() - began_s)

    assert min(took_s) < 1.0
    route = await routed(api, "quick-0")
    assert {("a", "quick-0", 8000)} == backends(route)
    assert {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/tokenize"} <= paths(route)
    await eventually(lambda: find(api, GRANTS, f"{HOME}-reserved-referencegrant-in-a", "a"))
    await eventually(lambda: find(api, ROUTES, RESERVED, HOME))
    await eventually(lambda: find(api, FILTERS, RESERVED, HOME))

    for number in range(5):
        await api.delete(DEPLOYMENTS, f"quick-{number}", "a")
    await eventually(lambda: gone(api, "quick-0"))


async def test_a_route_follows_what_its_workload_asks_for(running: Controllers, api: Client):
    await api.create(STATEFUL_SETS, a_workload("follows", kind=STATEFUL_SETS, port="9000"))
    await routed(api, "follows", lambda route: backends(route) == {("a", "follows", 9000)})

    changes = {
        "metadata": {
            "labels": {PORT: "9001"},
            "annotations": {SERVICE: "another", TIMEOUT: "90s", PATHS: "/version, /own/path"},
        }
    }
    await api.merge(STATEFUL_SETS, "follows", "a", changes)
    route = await routed(api, "follows", lambda route: backends(route) == {("a", "another", 9001)})
    assert {"/version", "/own/path"} < paths(route)
    assert {"request": "90s"} == rules(route)[0]["timeouts"]

    await api.merge(STATEFUL_SETS, "follows", "a", {"metadata": {"labels": {MODEL: "renamed"}}})
    await routed(api, "renamed")
    await eventually(lambda: gone(api, "follows"))


async def test_two_deployments_share_a_model_until_the_last_one_goes(running: Controllers, api: Client):
    for name in ("v100", "l20"):
        await api.create(DEPLOYMENTS, a_workload(name, model="shared"))
    before = await routed(api, "shared")

    await api.delete(DEPLOYMENTS, "v100", "a")
    await api.create(DEPLOYMENTS, a_workload("later"))
    await routed(api, "later")  # so the deletion was seen
    after = await routed(api, "shared")
    assert before.metadata.uid == after.metadata.uid

    await api.delete(DEPLOYMENTS, "l20", "a")
    await eventually(lambda: gone(api, "shared"))


async def test_a_model_in_two_namespaces_has_both_services_and_grants(running: Controllers, api: Client):
    for space in ("a", "b"):
        await api.create(DEPLOYMENTS, a_workload("both", space))
    await routed(api, "both", lambda route: backends(route) == {("a", "both", 8000), ("b", "both", 8000)})
    await eventually(lambda: find(api, GRANTS, f"{HOME}-reserved-referencegrant-in-b", "b"))

    await api.delete(DEPLOYMENTS, "both", "b")
    await routed(api, "both", lambda route: backends(route) == {("a", "both", 8000)})

    async def is_revoked() -> bool:
        return await find(api, GRANTS, f"{HOME}-reserved-referencegrant-in-b", "b") is None

    await eventually(is_revoked)


async def test_objects_of_others_are_left_alone_and_told(running: Controllers, api: Client):
    own = {"parentRefs": [{"name": "aibrix-eg"}], "rules": [{"backendRefs": [{"name": "x", "port": 1}]}]}
    before = await api.create(ROUTES, body(ROUTES, "theirs-router", HOME, spec=own))
    await api.create(DEPLOYMENTS, a_workload("theirs", "b"))

    assert MANAGED_BY in await until_told(api, "theirs", "RouteNotOurs", "b")
    await eventually(lambda: find(api, GRANTS, f"{HOME}-reserved-referencegrant-in-b", "b"))
    assert before == await find(api, ROUTES, "theirs-router", HOME)

    await api.delete(DEPLOYMENTS, "theirs", "b")
    await api.create(DEPLOYMENTS, a_workload("marker"))
    await routed(api, "marker")
    assert before == await find(api, ROUTES, "theirs-router", HOME)

    await api.delete(ROUTES, "theirs-router", HOME)


async def test_a_route_by_hand_of_a_model_gets_its_grant(running: Controllers, api: Client):
    match = {"path": {"value": "/v1/completions"}, "headers": [{"name": "model", "value": "qwen-coder-7b-instruct"}]}
    backend = {"name": "qwen-coder-7b-instruct", "namespace": "default", "port": 8000, "weight": 1}
    spec = {"parentRefs": [{"name": "aibrix-eg"}], "rules": [{"matches": [match], "backendRefs": [backend]}]}
    made = await api.create(ROUTES, body(ROUTES, "qwen-coder-7b-instruct-router", HOME, spec=spec))

    await eventually(lambda: find(api, GRANTS, f"{HOME}-reserved-referencegrant-in-default", "default"))
    assert made == await find(api, ROUTES, "qwen-coder-7b-instruct-router", HOME)

    await api.delete(ROUTES, "qwen-coder-7b-instruct-router", HOME)


async def test_every_name_of_a_model_gets_a_route_of_its_own(running: Controllers, api: Client):
    labels = ["Case_Matters", "case-matters", "case.matters", "A" * 63]
    for number, model in enumerate(labels):
        await api.create(DEPLOYMENTS, a_workload(f"name-{number}", model=model))
    by_annotation = a_workload("slash")
    by_annotation["metadata"] |= {"labels": {}, "annotations": {MODEL: "org/Name"}}
    await api.create(DEPLOYMENTS, by_annotation)

    for model in (*labels, "org/Name"):
        route = await routed(api, model)
        headers = {one["value"] for rule in rules(route) for match in rule["matches"] for one in match["headers"]}
        assert {model} == headers
    assert {("a", "slash", 8000)} == backends(await routed(api, "org/Name"))


async def test_what_somebody_edits_or_deletes_drifts_back(running: Controllers, api: Client):
    await api.create(DEPLOYMENTS, a_workload("drifts"))
    before = await routed(api, "drifts")

    edit = {"hostnames": ["example.org"], "rules": [{"backendRefs": [{"name": "x", "port": 1}]}]}
    await api.merge(ROUTES, "drifts-router", HOME, {"spec": edit})
    await routed(api, "drifts", lambda route: route.spec == before.spec)

    await api.delete(ROUTES, "drifts-router", HOME)
    after = await routed(api, "drifts", lambda route: route.metadata.uid != before.metadata.uid)
    assert before.spec == after.spec

    await api.merge(ROUTES, "drifts-router", HOME, {"metadata": {"labels": {MANAGED_BY: None}}, "spec": edit})
    await until_told(api, "drifts", "RouteNotOurs")
    assert ["example.org"] == (await routed(api, "drifts")).spec["hostnames"]
    await api.delete(ROUTES, "drifts-router", HOME)


async def test_a_mistake_hurts_its_workload_alone(running: Controllers, api: Client):
    await api.create(DEPLOYMENTS, a_workload("wrong", port="http", timeout="soon", paths="no/slash,/good"))
    await api.create(DEPLOYMENTS, a_workload("right", port="9000"))

    route = await routed(api, "wrong")
    assert ({("a", "wrong", 8000)}, True) == (backends(route), "/good" in paths(route))
    assert {("a", "right", 9000)} == backends(await routed(api, "right"))
    for reason in ("BadPort", "BadTimeout", "BadPath"):
        await until_told(api, "wrong", reason)
    assert {} == await told(api, "right")


async def test_what_the_gateway_says_against_a_route_is_told(running: Controllers, api: Client):
    await api.create(DEPLOYMENTS, a_workload("refused"))
    route = await routed(api, "refused")
    condition = {
        "type": "ResolvedRefs",
        "status": "False",
        "reason": "BackendNotFound",
        "message": "Service a/refused not found",
        "observedGeneration": route.metadata.generation,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    parent = {
        "parentRef": {"name": "aibrix-eg", "namespace": HOME},
        "controllerName": GATEWAY_CONTROLLER,
        "conditions": [condition],
    }
    status = {"parents": [parent]}
    await api.apply(ROUTES, body(ROUTES, "refused-router", HOME, status=status), "status")

    assert "Service a/refused not found" in await until_told(api, "refused", "RouteBackendNotFound")
    assert 1 == await running.metric("forebay_controller_objects", controller="routes", state="refused")
    await api.delete(DEPLOYMENTS, "refused", "a")


@pytest.mark.parametrize("kind", [ADAPTERS, FLEETS], ids=lambda kind: kind.name)
async def test_kinds_that_are_installed_later_are_taken_in(running: Controllers, api: Client, kind: Kind[Any]):
    assert 0 == await running.metric("forebay_kubernetes_followed", kind=kind.name)
    await gateway_api.install(api, [gateway_api.definition(kind)])
    name = kind.plural
    await api.create(kind, body(kind, name, "a", metadata={"labels": {MODEL: name, PORT: "8000"}}, spec={}))

    assert {("a", name, 8000)} == backends(await routed(api, name))

    await gateway_api.remove(api, f"{kind.plural}.{kind.group}")
    await eventually(lambda: gone(api, name))


async def test_without_the_gateway_api_it_waits_and_says_so(running: Controllers, api: Client):
    await api.create(DEPLOYMENTS, a_workload("waits"))
    await routed(api, "waits")
    removed = await gateway_api.remove(api, *gateway_api.NAMES)
    try:
        await eventually(lambda: has_said(running, "HTTPRoute of gateway.networking.k8s.io/v1 is not installed"))
        assert "HTTPRoute of gateway.networking.k8s.io/v1 is not installed" in await running.page("/readyz")
    finally:
        await gateway_api.install(api, removed)
    await eventually(running.is_ready)
    await routed(api, "waits")


def has_said(process: Controllers, why: str) -> bool:
    """Whether the process has logged that it waits for that."""
    return any(why in reason for line in process.logged("controllers_wait") for reason in line["reasons"])


async def test_while_the_api_server_is_away_nothing_is_forgotten(
    running: Controllers, api: Client, plane: ControlPlane
):
    await api.create(DEPLOYMENTS, a_workload("outlives"))
    before = await routed(api, "outlives")
    plane.kill_server()

    async def is_behind() -> bool:
        return await running.metric("forebay_kubernetes_behind_seconds", kind="HTTPRoute") > 0

    await eventually(is_behind)
    assert 503 == (await running.get("/readyz")).status_code
    plane.start_server()
    await asyncio.to_thread(plane.wait)
    await eventually(running.leads)

    await api.create(DEPLOYMENTS, a_workload("afterwards"))
    await routed(api, "afterwards")
    assert before.metadata.uid == (await routed(api, "outlives")).metadata.uid


async def leader_of(processes: list[Controllers]) -> Controllers:
    """The process that leads."""

    async def has_leader() -> bool:
        return any([await process.leads() for process in processes])

    await eventually(has_leader)
    return next(iter([process for process in processes if await process.leads()]))


@pytest.mark.parametrize(("how", "within_s"), [(signal.SIGKILL, Terms().lease_s), (signal.SIGTERM, 0)])
async def test_when_the_leader_ends_another_makes_routes_within_the_lease(
    api: Client, plane: ControlPlane, tmp_path: Path, how: signal.Signals, within_s: float
):
    """A killed leader's lease has to end, one that ends in order gives it up; then come looks every 2 to 2.4 s."""
    name = f"after-{how.name.lower()}"
    processes = [
        Controllers(plane.kubeconfig, tmp_path / str(number), "--namespace=elsewhere", f"--lease={how.name.lower()}")
        for number in range(2)
    ]
    try:
        leader = await leader_of(processes)
        (other,) = (process for process in processes if process is not leader)
        await eventually(other.is_ready)
        assert not await other.leads()
        leader.stop(how)
        ended_s = time.monotonic()
        await api.create(DEPLOYMENTS, a_workload(name))
        await eventually(lambda: route_of(api, name, "elsewhere"))
        took_s = time.monotonic() - ended_s
    finally:
        for process in processes:
            process.stop()

    assert took_s <= within_s + 10
