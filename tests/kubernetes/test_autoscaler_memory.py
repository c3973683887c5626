"""Autoscalers over restarts, and targets without replicas that are woken, on a real API server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress

import pytest

from controllers.podautoscaler.memory import CONFIG_MAPS
from controllers.podautoscaler.objects import AUTOSCALERS
from kube.client import Client
from kube.errors import AlreadyExists, NotFound
from kube.objects import body
from tests.kubernetes.conftest import eventually
from tests.kubernetes.test_routes import SPACES
from tests.support.kubernetes.autoscaled import a_target, autoscale, has, of, replicas, said
from tests.support.kubernetes.autoscalers import KIND, a_source
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.controllers import controllers
from tests.support.kubernetes.published_plan import Plan, published_plan
from tests.support.redis import redis_server
from traffic.connection import Connection
from traffic.wakes import Wakes

HOME = "aibrix-system"
ONLY = "--controllers=podautoscaler"


@pytest.fixture(scope="module", autouse=True)
def _kind(plane: ControlPlane) -> None:
    plane.kubectl("apply", "--server-side", "-f", KIND)
    plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", KIND)


@pytest.fixture
def plan() -> Iterator[Plan]:
    with published_plan() as made:
        yield made


@pytest.fixture
async def api(client: Client) -> AsyncIterator[Client]:
    with suppress(AlreadyExists):
        await client.create(SPACES, body(SPACES, HOME))
    yield client
    found, _ = await client.list(AUTOSCALERS)
    for one in found:
        await client.delete(AUTOSCALERS, one.metadata.name, one.metadata.namespace)


def by_load(plan: Plan) -> list[dict[str, str]]:
    """A load of the target as a whole, 10 of which a replica takes."""
    fields = {"endpoint": plan.endpoint, "port": None, "targetMetric": "load", "targetValue": "10"}
    return [a_source(metricSourceType="external", **fields)]


async def test_who_takes_over_knows_what_was_known(plane: ControlPlane, api: Client, plan: Plan):
    log, options = plane.folder / "one.log", (ONLY, "--lease=take-over")
    await a_target(api, "keeps")
    delay = {"kpa.autoscaling.aibrix.ai/scale-down-delay": "10m"}
    plan.answers(200, "load 35\n")
    with controllers(plane.kubeconfig, log, *options) as first:
        await eventually(first.leads)
        await autoscale(api, "keeps", delay, **of("keeps"), metricsSources=by_load(plan))
        await eventually(lambda: has_at_least(api, "keeps", 2))
    uid = (await api.get(AUTOSCALERS, "keeps", "default")).metadata.uid
    state = await api.get(CONFIG_MAPS, f"podautoscaler-{uid}", HOME)
    assert "KPA" in state.data["state.json"]
    reached = await replicas(api, "keeps")

    plan.answers(200, "load 1\n")
    before = await said(api, "keeps", "ScalingActive")
    with controllers(plane.kubeconfig, log, *options) as second:
        await eventually(second.leads)
        await eventually(lambda: says_else(api, "keeps", before))
        assert "were seen" not in (await said(api, "keeps", "ScalingActive"))[2]  # it knows the past
        await asyncio.sleep(3.0)
        assert reached <= await replicas(api, "keeps")


async def says_else(api: Client, name: str, before: tuple[str, str, str]) -> bool:
    return await said(api, name, "ScalingActive") != before


async def has_at_least(api: Client, name: str, wanted: int) -> bool:
    return await replicas(api, name) >= wanted


async def test_states_of_autoscalers_that_are_gone_go(plane: ControlPlane, api: Client):
    state = body(CONFIG_MAPS, "podautoscaler-of-nobody", HOME, data={},
                 metadata={"labels": {"forebay.io/remembers": "podautoscaler"}})  # fmt: skip
    await api.create(CONFIG_MAPS, state)
    options = (ONLY, "--lease=tidies")

    async def is_gone() -> bool:
        try:
            await api.get(CONFIG_MAPS, "podautoscaler-of-nobody", HOME)
        except NotFound:
            return True
        return False

    with controllers(plane.kubeconfig, plane.folder / "tidies.log", *options) as process:
        await eventually(process.leads)
        await eventually(is_gone)


async def test_a_target_without_replicas_is_promised_and_woken(plane: ControlPlane, api: Client, plan: Plan):
    plan.answers(200, "load 0\n")
    await a_target(api, "sleeps", replicas=0, model="m")
    await autoscale(api, "sleeps", **of("sleeps"), minReplicas=0, metricsSources=by_load(plan))
    with redis_server() as redis:
        async with aclosing(Connection(redis.url, 5.0)) as connection:
            wakes = Wakes(connection)
            log = plane.folder / "wakes.log"
            with controllers(plane.kubeconfig, log, ONLY, "--lease=wakes", f"--redis={redis.url}") as process:
                await eventually(process.leads)
                await eventually(lambda: is_promised(wakes))
                assert 0 == await replicas(api, "sleeps")

                await wakes.publish("m")

                await eventually(lambda: has(api, "sleeps", 1))
                await asyncio.sleep(5.0)  # the wake is over, and the replica has not been ready yet
                assert 1 == await replicas(api, "sleeps")


async def is_promised(wakes: Wakes) -> bool:
    return bool(await wakes.promised(["m"]))
