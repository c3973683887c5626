"""Deployments become processes: the node of tests, with Kubernetes' own controllers."""

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from kube.client import Client, Selection
from kube.errors import NotFound
from tests.kubernetes.conftest import eventually
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.deployments import DEPLOYMENTS, PORT, a_deployment
from tests.support.kubernetes.node.objects import PODS, Pod


@pytest.fixture(scope="module")
def plane(plane: ControlPlane) -> ControlPlane:
    plane.start_controllers()
    plane.start_node("--capacity", "nvidia.com/gpu=1")
    return plane


async def pods_of(client: Client, app: str) -> list[Pod]:
    return (await client.list(PODS, Selection("default", labels=f"app={app}")))[0]


def is_ready(pod: Pod) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod.status.conditions)


def have(client: Client, app: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        found = await client.get(DEPLOYMENTS, app, "default")
        return found.has(count) and len(await pods_of(client, app)) == count

    return look


def process_of(pod: Pod) -> int:
    return int(pod.status.container_statuses[0]["containerID"].removeprefix("process://"))


async def test_a_deployment_is_processes_that_answer_at_their_addresses(client: Client):
    await client.apply(DEPLOYMENTS, a_deployment("web", 2))
    await eventually(have(client, "web", 2))

    pods = await pods_of(client, "web")
    assert len({pod.status.ip for pod in pods}) == 2
    async with httpx.AsyncClient(trust_env=False) as http:
        for pod in pods:
            assert 200 == (await http.get(f"http://{pod.status.ip}:{PORT}/")).status_code

    await client.apply(DEPLOYMENTS, a_deployment("web", 3))
    await eventually(have(client, "web", 3))
    await client.apply(DEPLOYMENTS, a_deployment("web", 1))
    await eventually(have(client, "web", 1))
    await client.delete(DEPLOYMENTS, "web", "default")

    async def are_gone() -> bool:
        return not await pods_of(client, "web")

    await eventually(are_gone)
    for pod in pods:
        with pytest.raises(ProcessLookupError):
            os.kill(process_of(pod), 0)


async def test_a_rolling_update_replaces_every_process(client: Client):
    await client.apply(DEPLOYMENTS, a_deployment("roll", 2))
    await eventually(have(client, "roll", 2))
    before = {pod.metadata.uid for pod in await pods_of(client, "roll")}

    await client.apply(DEPLOYMENTS, a_deployment("roll", 2, version="2"))
    await eventually(have(client, "roll", 2))

    assert not before & {pod.metadata.uid for pod in await pods_of(client, "roll")}


async def test_a_process_that_dies_is_started_again_in_its_pod(client: Client):
    await client.apply(DEPLOYMENTS, a_deployment("dies", 1))
    await eventually(have(client, "dies", 1))
    (before,) = await pods_of(client, "dies")

    os.kill(process_of(before), signal.SIGKILL)

    async def is_back() -> bool:
        (pod,) = await pods_of(client, "dies")
        return pod.status.container_statuses[0]["restartCount"] == 1 and is_ready(pod)

    await eventually(is_back)
    (after,) = await pods_of(client, "dies")
    assert (before.metadata.uid, before.status.ip) == (after.metadata.uid, after.status.ip)
    assert 137 == after.status.container_statuses[0]["lastState"]["terminated"]["exitCode"]


async def test_a_pod_waits_until_the_node_has_what_it_asks_for(client: Client):
    gpu = {"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}}
    wanted = a_deployment("gpus", 2)
    wanted["spec"]["template"]["spec"]["containers"][0]["resources"] = gpu
    await client.apply(DEPLOYMENTS, wanted)

    async def one_waits() -> bool:
        reasons = [one.get("message", "") for pod in await pods_of(client, "gpus") for one in pod.status.conditions]
        return "Insufficient nvidia.com/gpu" in reasons

    await eventually(one_waits)
    assert 1 == sum(bool(pod.spec.node_name) for pod in await pods_of(client, "gpus"))
    await client.apply(DEPLOYMENTS, a_deployment("gpus", 2))
    await eventually(have(client, "gpus", 2))


async def test_pods_end_while_the_server_is_away_and_are_told_afterwards(plane: ControlPlane, client: Client):
    await client.apply(DEPLOYMENTS, a_deployment("away", 1))
    await eventually(have(client, "away", 1))
    (before,) = await pods_of(client, "away")
    plane.kill_server()
    os.kill(process_of(before), signal.SIGKILL)
    plane.start_server()
    plane.wait()

    async def is_back() -> bool:
        (pod,) = await pods_of(client, "away")
        return pod.status.container_statuses[0]["restartCount"] >= 1 and is_ready(pod)

    await eventually(is_back)
    await client.delete(DEPLOYMENTS, "away", "default")
    with pytest.raises(NotFound):
        await client.get(DEPLOYMENTS, "away", "default")


async def test_pods_outlive_their_node_with_their_addresses(plane: ControlPlane, client: Client):
    await client.apply(DEPLOYMENTS, a_deployment("stays", 2))
    await eventually(have(client, "stays", 2))
    before = {pod.metadata.uid: pod for pod in await pods_of(client, "stays")}

    plane.kill_node()
    processes = [Path(f"/proc/{process_of(pod)}") for pod in before.values()]
    await eventually(lambda: not any(process.exists() for process in processes))
    plane.start_node("--capacity", "nvidia.com/gpu=1")

    async def are_back() -> bool:
        pods = await pods_of(client, "stays")
        return all(one.status.container_statuses[0]["restartCount"] == 1 and is_ready(one) for one in pods)

    await eventually(are_back)
    after = {pod.metadata.uid: pod for pod in await pods_of(client, "stays")}
    assert {uid: pod.status.ip for uid, pod in before.items()} == {uid: pod.status.ip for uid, pod in after.items()}
