"""The controller of PodAutoscalers, as processes, on the real API server; with pods: test_scaled_engines."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest

from autoscaling.bounds import Bounds
from autoscaling.spec import REPLICAS_METRIC
from autoscaling.spec_reading import read
from controllers.owned import is_settled
from controllers.podautoscaler.hpas import HPAS, hpa_of
from controllers.podautoscaler.objects import AUTOSCALERS
from kube.client import Client, Selection
from kube.errors import AlreadyExists, NotFound
from kube.objects import Kind, Object, body
from tests.kubernetes.conftest import eventually
from tests.kubernetes.test_routes import EVENTS, SPACES
from tests.support.kubernetes import gateway_api
from tests.support.kubernetes.autoscaled import a_target, autoscale, has, of, replicas, said, says
from tests.support.kubernetes.autoscalers import ARTICLE, KIND, written
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.controllers import Controllers, controllers
from tests.support.kubernetes.published_plan import Plan, published_plan

HOME = "aibrix-system"
STATEFUL_SETS = Kind("apps", "v1", "StatefulSet", "statefulsets", Object)
FLEETS = Kind("orchestration.aibrix.ai", "v1alpha1", "RayClusterFleet", "rayclusterfleets", Object)


@pytest.fixture(scope="module")
def plan() -> Iterator[Plan]:
    with published_plan() as made:
        yield made


@pytest.fixture(scope="module")
def kinds(plane: ControlPlane) -> None:
    plane.kubectl("apply", "--server-side", "-f", KIND)
    plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", KIND)


@pytest.fixture(scope="module")
def started(plane: ControlPlane, kinds: None) -> Iterator[Controllers]:
    with controllers(plane.kubeconfig, plane.folder / "controllers.log", "--controllers=podautoscaler") as process:
        yield process


@pytest.fixture
async def api(client: Client) -> AsyncIterator[Client]:
    """The API server; autoscalers of a test are gone after it."""
    with suppress(AlreadyExists):
        await client.create(SPACES, body(SPACES, HOME))
    yield client
    found, _ = await client.list(AUTOSCALERS)
    for one in found:
        await client.delete(AUTOSCALERS, one.metadata.name, one.metadata.namespace)


@pytest.fixture
async def running(api: Client, started: Controllers, plan: Plan) -> Controllers:
    await eventually(started.leads)
    return started


async def by_plan(api: Client, plan: Plan, name: str, target: str = "100", **spec: Any) -> None:
    """An autoscaler `name` of the Deployment `name`."""
    await autoscale(api, name, **({"minReplicas": 0, "metricsSources": [plan.source(target)]} | of(name) | spec))


async def test_replicas_are_what_the_optimizer_publishes(running: Controllers, api: Client, plan: Plan):
    plan.wants(4)
    await a_target(api, "d")
    await by_plan(api, plan, "d")
    await eventually(lambda: has(api, "d", 4))

    plan.wants(0)
    await eventually(lambda: has(api, "d", 0))
    plan.wants(2)
    await eventually(lambda: has(api, "d", 2))

    async def is_told() -> bool:
        status = (await api.get(AUTOSCALERS, "d", "default")).status
        return [0, 2] == [one.new_scale for one in status.scaling_history][-2:] and status.desired_scale == 2

    await eventually(is_told)
    events, _ = await api.list(EVENTS, Selection("default"))
    assert "SuccessfulRescale" in {event.reason for event in events if event.regarding.get("name") == "d"}
    assert "True" == (await said(api, "d", "Ready"))[0]


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("held-404", (404, '{"error": "no such deployment"}')),
        ("held-html", (200, "<html><body>hello</body></html>")),
        ("held-nan", (200, f"{REPLICAS_METRIC} NaN\n")),
        ("held-other", (200, "other 1\n")),
    ],
)
async def test_an_optimizer_that_says_nothing_of_use_leaves_the_replicas(
    running: Controllers, api: Client, plan: Plan, name: str, page: tuple[int, str]
):
    plan.answers(*page)
    await a_target(api, name, replicas=3)
    await by_plan(api, plan, name)

    await says(api, name, "ScalingActive", "False", plan.endpoint)

    assert 3 == await replicas(api, name)
    plan.wants(1)
    await eventually(lambda: has(api, name, 1))
    await says(api, name, "ScalingActive", "True")


async def test_of_several_on_one_target_the_oldest_is_obeyed_until_it_goes(
    running: Controllers, api: Client, plan: Plan
):
    plan.wants(3)
    await a_target(api, "shared", replicas=1)
    await by_plan(api, plan, "first", **of("shared"))
    await asyncio.sleep(1.1)  # creation times are whole seconds
    await by_plan(api, plan, "another", **of("shared"), maxReplicas=2)
    await says(api, "another", "MultiPodAutoscalerConflict", "True", "default/first")
    await says(api, "another", "Ready", "False")
    await eventually(lambda: has(api, "shared", 3))
    assert "False" == (await said(api, "first", "MultiPodAutoscalerConflict"))[0]

    await api.delete(AUTOSCALERS, "first", "default")

    await says(api, "another", "Ready", "True")
    await eventually(lambda: has(api, "shared", 2))


async def test_the_articles_three_are_in_conflict_but_for_the_oldest(running: Controllers, api: Client):
    name = "deepseek-r1-distill-llama-8b"
    await a_target(api, name)
    for path in ARTICLE:
        await api.create(AUTOSCALERS, written(path))
        await asyncio.sleep(1.1)

    for strategy in ("hpa", "kpa"):
        await says(api, f"{name}-{strategy}", "MultiPodAutoscalerConflict", "True", f"default/{name}-apa")
    with pytest.raises(NotFound):
        await api.get(HPAS, f"{name}-hpa-hpa", "default")

    await api.delete(AUTOSCALERS, f"{name}-apa", "default")  # the next by age is that with strategy HPA
    await eventually(lambda: is_there(api, f"{name}-hpa-hpa"))
    hpa = await api.get(HPAS, f"{name}-hpa-hpa", "default")
    [metric] = hpa.spec["metrics"]
    assert {"type": "AverageValue", "averageValue": "500m"} == metric["pods"]["target"]
    await says(api, f"{name}-kpa", "MultiPodAutoscalerConflict", "True", f"default/{name}-hpa")

    await asyncio.sleep(2.0)  # it is as it was asked for: nobody mends it again and again
    assert hpa.metadata == (await api.get(HPAS, f"{name}-hpa-hpa", "default")).metadata


async def is_there(api: Client, name: str) -> bool:
    try:
        return bool(await api.get(HPAS, name, "default"))
    except NotFound:
        return False


async def test_another_strategy_takes_over_from_kubernetes_own_autoscaler(
    running: Controllers, api: Client, plan: Plan
):
    plan.wants(5)
    await a_target(api, "taken")
    tolerance = {"autoscaling.aibrix.ai/scale-up-tolerance": "0.05"}
    await autoscale(api, "taken", tolerance, **of("taken"), scalingStrategy="HPA")
    await eventually(lambda: is_there(api, "taken-hpa"))
    hpa = await api.get(HPAS, "taken-hpa", "default")
    [metric] = hpa.spec["metrics"]
    assert "10" == metric["pods"]["target"]["averageValue"]
    assert "50m" == hpa.spec["behavior"]["scaleUp"]["tolerance"]
    one = await api.get(AUTOSCALERS, "taken", "default")
    assert is_settled(hpa_of(one.metadata, read(one.document()), Bounds(1, 8)), hpa)  # it is as the server keeps it

    change = {"scalingStrategy": "KPA", "minReplicas": 0, "metricsSources": [plan.source()]}
    await api.merge(AUTOSCALERS, "taken", "default", {"spec": change})

    await eventually(lambda: has(api, "taken", 5))
    assert not await is_there(api, "taken-hpa")


@pytest.mark.parametrize("kind", [STATEFUL_SETS, FLEETS], ids=lambda kind: kind.name)
async def test_whatever_has_a_scale_is_scaled(running: Controllers, api: Client, plan: Plan, kind: Kind[Any]):
    if kind is FLEETS:
        definition = gateway_api.definition(FLEETS)
        [version] = definition["spec"]["versions"]
        version["subresources"] = {"scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.r"}}
        await gateway_api.install(api, [definition])
    plan.wants(3)
    await a_target(api, "other", kind=kind, **({"serviceName": "s"} if kind is STATEFUL_SETS else {}))

    await by_plan(api, plan, "other", **of("other", kind))

    await eventually(lambda: has(api, "other", 3, kind))


async def test_a_target_that_is_not_there_is_named_and_scaled_when_it_comes(
    running: Controllers, api: Client, plan: Plan
):
    plan.wants(2)
    await by_plan(api, plan, "later")
    message = await says(api, "later", "AbleToScale", "False", "FailedGetScale")
    assert message.startswith("spec.scaleTargetRef: ")
    assert '"later" not found' in message

    await a_target(api, "later")

    await eventually(lambda: has(api, "later", 2))


@pytest.mark.parametrize(
    ("kind", "words"),
    [("Nothing", "apps/v1 has no kind Nothing"), ("ControllerRevision", "has no subresource scale")],
)
async def test_a_kind_that_cannot_be_scaled_is_named(
    running: Controllers, api: Client, plan: Plan, kind: str, words: str
):
    reference = {"apiVersion": "apps/v1", "kind": kind, "name": "x"}
    await by_plan(api, plan, f"kind-{kind.lower()}", scaleTargetRef=reference)

    assert words in await says(api, f"kind-{kind.lower()}", "AbleToScale", "False")


async def test_what_cannot_be_read_is_a_condition_with_the_field(running: Controllers, api: Client, plan: Plan):
    plan.wants(5)
    await a_target(api, "unread", replicas=2)
    key = "kpa.autoscaling.aibrix.ai/stable-window"
    spec = {"minReplicas": 0, "metricsSources": [plan.source()]} | of("unread")
    await autoscale(api, "unread", {key: "sixty"}, **spec)

    assert f'metadata.annotations["{key}"] = sixty' in await says(api, "unread", "ValidSpec", "False", "InvalidSpec")
    assert 2 == await replicas(api, "unread")

    await api.merge(AUTOSCALERS, "unread", "default", {"metadata": {"annotations": {key: "60s"}}})
    await eventually(lambda: has(api, "unread", 5))
    await says(api, "unread", "Ready", "True")


async def test_a_target_that_is_switched_off_stays_off_and_bounds_hold_otherwise(
    running: Controllers, api: Client, plan: Plan
):
    plan.wants(3)
    for name, count in (("off", 0), ("above", 9)):
        await a_target(api, name, replicas=count)
        await by_plan(api, plan, name, minReplicas=1, maxReplicas=2)

    await eventually(lambda: has(api, "above", 2))
    await says(api, "off", "ScalingActive", "False", "ScalingDisabled")
    assert 0 == await replicas(api, "off")
    assert "minReplicas" in await says(api, "above", "Warning", "True")


async def test_while_the_api_server_is_away_nothing_changes_and_then_all_goes_on(
    running: Controllers, api: Client, plane: ControlPlane, plan: Plan
):
    plan.wants(2)
    await a_target(api, "outage")
    await by_plan(api, plan, "outage")
    await eventually(lambda: has(api, "outage", 2))

    plane.kill_server()
    plan.answers(500)
    await asyncio.sleep(3.0)
    plane.start_server()
    await asyncio.to_thread(plane.wait)
    assert 2 == await replicas(api, "outage")

    plan.wants(3)
    await eventually(lambda: has(api, "outage", 3))
