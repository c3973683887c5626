"""The fleet of a real cluster: Deployments with the label of a model, whose pods are processes."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.config.kubernetes import KubernetesSettings
from gateway.discovery.description import FleetDescription
from gateway.discovery.kubernetes import KubernetesPods
from kube.client import Client
from routing.table import STRATEGIES
from tests.kubernetes.conftest import PATIENCE_S, eventually
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.deployments import DEPLOYMENTS, a_deployment
from tests.support.player import Player, mutation_of, set_headers
from tests.support.redis import redis_server
from tests.support.running_worker import RunningWorker, running_worker

MODEL = "model.aibrix.ai/name"


@pytest.fixture(scope="module")
def plane(plane: ControlPlane) -> ControlPlane:
    plane.start_controllers()
    plane.start_node("--label", "forebay.io/gpu=L20", "--label", "forebay.io/pool=local")
    return plane


class Followed:
    """The fleet as the discovery told it last."""

    def __init__(self, described: AsyncIterator[FleetDescription]) -> None:
        self._described = described
        self.fleet = FleetDescription()

    async def until(self, condition: Callable[[FleetDescription], bool]) -> FleetDescription:
        async with asyncio.timeout(PATIENCE_S):
            while not condition(self.fleet):
                self.fleet = await anext(self._described)
        return self.fleet


@asynccontextmanager
async def following(plane: ControlPlane) -> AsyncIterator[Followed]:
    settings = KubernetesSettings(enabled=True, namespace="default", kubeconfig=str(plane.kubeconfig))
    async with aclosing(KubernetesPods(settings, STRATEGIES, Random(1)).watch()) as described:
        yield Followed(described)


def a_model(name: str, replicas: int, version: str = "1", strategy: str = "random") -> dict[str, Any]:
    """A Deployment that serves a model; the port is a label of its own, as in the article."""
    made = a_deployment(name, replicas, version)
    made["metadata"]["labels"] = {MODEL: name, "model.aibrix.ai/port": "8000"}
    template = made["spec"]["template"]["metadata"]
    template["labels"] = template["labels"] | {MODEL: name}
    profiles = {"default": {"routingStrategy": strategy}}
    template["annotations"] = {"model.aibrix.ai/config": json.dumps({"profiles": profiles})}
    return made


def ready(model: str, count: int) -> Callable[[FleetDescription], bool]:
    """So many pods of the model, all ready and none about to go."""

    def is_so(fleet: FleetDescription) -> bool:
        pods = [one for one in fleet.endpoints if model in one.models]
        return len(pods) == count and all(one.ready and not one.draining for one in pods)

    return is_so


async def test_the_fleet_follows_a_deployment_from_its_start_to_its_end(plane: ControlPlane, client: Client):
    async with following(plane) as followed:
        await client.apply(DEPLOYMENTS, a_model("m", 2))
        fleet = await followed.until(ready("m", 2))
        first = {one.id for one in fleet.endpoints}
        assert {("m", "L20", "local", "node-a", 8000)} == {
            (one.deployment, one.gpu_type, one.pool, one.node, int(one.address.rpartition(":")[2]))
            for one in fleet.endpoints
        }
        assert {"m": "random"} == {model: policy.strategy for model, policy in fleet.models.items()}

        await client.apply(DEPLOYMENTS, a_model("m", 3))
        await followed.until(ready("m", 3))
        await client.apply(DEPLOYMENTS, a_model("m", 2, version="2", strategy="throughput"))
        fleet = await followed.until(
            lambda fleet: ready("m", 2)(fleet) and not first & {one.id for one in fleet.endpoints}
        )
        assert "throughput" == fleet.models["m"].strategy

        await client.apply(DEPLOYMENTS, a_model("m", 0))
        fleet = await followed.until(lambda fleet: not fleet.endpoints)
        assert ["m"] == list(fleet.models)
        await client.delete(DEPLOYMENTS, "m", "default")
        await followed.until(lambda fleet: not fleet.models)


async def test_while_the_server_is_away_the_fleet_stays(plane: ControlPlane, client: Client):
    async with following(plane) as followed:
        await client.apply(DEPLOYMENTS, a_model("n", 1))
        before = await followed.until(ready("n", 1))
        plane.kill_server()
        told = asyncio.create_task(followed.until(lambda fleet: fleet != before))
        await asyncio.sleep(2)
        assert not told.done()

        plane.start_server()
        await asyncio.to_thread(plane.wait)
        told.cancel()
        await asyncio.wait((told,))


async def test_two_deployments_may_share_a_model(plane: ControlPlane, client: Client):
    async with following(plane) as followed:
        for name in ("v100", "l20"):
            wanted = a_model(name, 1)
            wanted["metadata"]["labels"][MODEL] = "shared"
            wanted["spec"]["template"]["metadata"]["labels"][MODEL] = "shared"
            await client.apply(DEPLOYMENTS, wanted)
        fleet = await followed.until(ready("shared", 2))
        assert {"v100", "l20"} == {one.deployment for one in fleet.endpoints if "shared" in one.models}

        await client.delete(DEPLOYMENTS, "v100", "default")
        fleet = await followed.until(ready("shared", 1))
        assert "shared" in fleet.models


def destination(worker: RunningWorker, model: str) -> str:
    """The address to which the gateway sends a request for the model; empty where it refuses it."""
    player = Player(worker.grpc)
    try:
        stream = player.chat({"model": model, "messages": [{"role": "user", "content": "Say this is a test!"}]})
        sent = set_headers(mutation_of(stream.routed())).get("x-gateway-destination-endpoint", "")
        stream.finish()
    except AssertionError:  # an immediate response
        return ""
    finally:
        player.close()
    return sent.partition(",")[0]


async def test_a_gateway_sends_requests_to_the_pods_of_a_model(plane: ControlPlane, client: Client, tmp_path: Path):
    wanted = a_model("engines", 1)
    (container,) = wanted["spec"]["template"]["spec"]["containers"]
    container["command"] = [sys.executable, "-m", "forebay", "engine"]
    container["args"] = ["--model", "engines", "--host", "$(POD_IP)", "--port", "8000"]
    container["readinessProbe"]["httpGet"]["path"] = "/health"
    await client.apply(DEPLOYMENTS, wanted)
    async with following(plane) as followed:
        fleet = await followed.until(ready("engines", 1))
    (address,) = (one.address for one in fleet.endpoints if "engines" in one.models)
    configuration = {"kubernetes": {"enabled": True, "kubeconfig": str(plane.kubeconfig)}}

    with redis_server() as redis, running_worker(tmp_path, redis.url, configuration) as worker:
        assert address == await asyncio.to_thread(destination, worker, "engines")

        await client.apply(DEPLOYMENTS, a_model("engines", 0))
        await eventually(lambda: asyncio.to_thread(lambda: destination(worker, "engines") == ""))
