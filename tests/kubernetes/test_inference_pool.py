"""An InferencePool of a real cluster that names the gateway: the kinds of the extension, the access of the overlay."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.discovery.pools import OBJECTIVES, POOLS, REWRITES
from gateway.pb import ext_proc_pb2 as pb
from gateway.pb import health_pb2 as health
from kube.client import Client
from kube.errors import ApiError
from kube.objects import Kind, Object, body
from tests.kubernetes.conftest import PROGRAMS, eventually
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.deployments import DEPLOYMENTS, a_deployment
from tests.support.manifests import OVERLAYS, objects
from tests.support.player import Player, mutation_of, set_headers
from tests.support.redis import redis_server
from tests.support.running_worker import RunningWorker, running_worker

NAMESPACE, ACCOUNT = "aibrix-system", "aibrix-gateway-plugins"
ACCESS = ("Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
SERVING, NOT_SERVING = health.HealthCheckResponse.SERVING, health.HealthCheckResponse.NOT_SERVING
ABOUT = {"name": "forebay", "group": POOLS.group, "kind": POOLS.name}


def kind_of(one: dict[str, Any]) -> Kind[Object]:
    group, _, version = one["apiVersion"].rpartition("/")
    return Kind(group, version, one["kind"], f"{one['kind'].lower()}s", Object)


async def apply(client: Client, *wanted: dict[str, Any]) -> None:
    for one in wanted:
        await client.apply(kind_of(one), one)


def overlay(*kinds: str) -> list[dict[str, Any]]:
    found = [one for one in objects(OVERLAYS / "inference-pool") if one["kind"] in kinds]
    return sorted(found, key=lambda one: kinds.index(one["kind"]))


def engines(replicas: int) -> dict[str, Any]:
    """Engines that say only themselves which model they serve."""
    made = a_deployment("engines", replicas)
    made["metadata"]["namespace"] = NAMESPACE
    labels = made["spec"]["template"]["metadata"]["labels"]
    labels["forebay.io/inference-pool"] = "forebay"
    (container,) = made["spec"]["template"]["spec"]["containers"]
    container["command"] = [sys.executable, "-m", "forebay", "engine"]
    container["args"] = ["--model", "tiny", "--host", "$(POD_IP)", "--port", "8000"]
    container["readinessProbe"]["httpGet"]["path"] = "/health"
    return made


def as_the_gateway(plane: ControlPlane, folder: Path) -> Path:
    """A kubeconfig with a token of the account of the gateway."""
    config = json.loads(plane.kubeconfig.read_text())
    config["users"][0]["user"]["token"] = plane.kubectl("create", "token", ACCOUNT, "-n", NAMESPACE).strip()
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config))
    return file


@pytest.fixture(scope="module")
def plane(plane: ControlPlane) -> ControlPlane:
    plane.start_controllers()
    plane.start_node()
    return plane


@pytest.fixture
async def worker(plane: ControlPlane, client: Client, tmp_path: Path) -> AsyncIterator[RunningWorker]:
    """A gateway with the access that the overlay gives it, and the overlay's setting."""
    await apply(client, *overlay(*ACCESS))
    configuration = {
        "kubernetes": {"enabled": True, "kubeconfig": str(as_the_gateway(plane, tmp_path))},
        "picker": {"service": f"{NAMESPACE}/{ACCOUNT}"},
    }
    with redis_server() as redis, running_worker(tmp_path, redis.url, configuration) as running:
        yield running


def says(player: Player) -> int:
    answer = player.channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)
    return health.HealthCheckResponse.FromString(answer).status


def routed(player: Player, model: str) -> pb.ProcessingResponse | int:
    """The reply with the destination, or the status of the refusal."""
    stream = player.chat({"model": model, "messages": [{"role": "user", "content": "hi"}]})
    try:
        replies = stream.replies(2)
    finally:
        stream.finish()
    refused = replies[-1].immediate_response.status.code
    return refused or replies[-1]


def destinations(player: Player, model: str) -> set[str]:
    reply = routed(player, model)
    if isinstance(reply, int):
        return set()
    return set(set_headers(mutation_of(reply))["x-gateway-destination-endpoint"].split(","))


async def test_a_pool_is_served_from_when_it_and_its_kind_come_until_it_goes(
    worker: RunningWorker, client: Client, plane: ControlPlane
):
    player = Player(worker.grpc)
    await client.apply(DEPLOYMENTS, engines(2))
    assert (NOT_SERVING, 503) == (says(player), routed(player, "tiny"))

    plane.kubectl("apply", "--server-side", "-f", Path(PROGRAMS) / "inference-crds")

    async def is_applied() -> bool:
        try:
            await apply(client, *overlay("InferencePool"))
        except ApiError:  # a new kind is not served at once
            return False
        return True

    await eventually(is_applied)
    await eventually(lambda: asyncio.to_thread(lambda: len(destinations(player, "tiny")) == 2))
    assert SERVING == says(player)

    rule = {"matches": [{"model": {"value": "alias"}}], "targets": [{"modelRewrite": "tiny", "weight": 1}]}
    await client.apply(REWRITES, body(REWRITES, "r", NAMESPACE, spec={"poolRef": ABOUT, "rules": [rule]}))
    await client.apply(OBJECTIVES, body(OBJECTIVES, "urgent", NAMESPACE, spec={"poolRef": ABOUT, "priority": 7}))
    await eventually(lambda: asyncio.to_thread(lambda: len(destinations(player, "alias")) == 2))
    reply = routed(player, "alias")
    assert isinstance(reply, pb.ProcessingResponse)
    assert "tiny" == orjson.loads(reply.request_body.response.body_mutation.body)["model"]

    await client.apply(DEPLOYMENTS, engines(1))
    await eventually(lambda: asyncio.to_thread(lambda: len(destinations(player, "tiny")) == 1))
    await client.delete(POOLS, "forebay", NAMESPACE)
    await eventually(lambda: asyncio.to_thread(lambda: says(player) == NOT_SERVING))
    assert 503 == routed(player, "tiny")
    player.close()
