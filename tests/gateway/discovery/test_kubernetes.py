"""The fleet that follows a cluster, told by a server that answers as written here; the real one: tests/kubernetes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.config.kubernetes import KubernetesSettings
from gateway.discovery.description import FleetDescription
from gateway.discovery.kubernetes import KubernetesPods
from kube import following
from kube.errors import NoWayError
from routing.table import STRATEGIES
from tests.support.kubernetes import script
from tests.support.kubernetes.conversation import Answer, Double, Exchange, Request, answer, served
from tests.support.kubernetes.script import a_kubeconfig, a_line
from tests.support.polling import DEADLINE_S

POD_PATH, NODE_PATH = "/api/v1/pods", "/api/v1/nodes"
WORKLOAD_PATHS = ("/apis/apps/v1/deployments", "/apis/apps/v1/statefulsets")
MODEL = "model.aibrix.ai/name"
ADAPTER_PATH = "/apis/model.aibrix.ai/v1alpha1/modeladapters"
ADAPTER_LIST = Request("GET", f"{ADAPTER_PATH}?limit=500")
NO_KIND = answer("404 page not found", status=404)
NAMED, BY_ANNOTATION = "model.aibrix.ai%2Fname", "%21model.aibrix.ai%2Fname%2Cmodel.aibrix.ai%2Fport"
FORBIDDEN = answer('{"code": 403, "reason": "Forbidden", "message": "no"}', status=403)


def an_object(name: str, version: int, namespace: str = "", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "resourceVersion": str(version), "labels": {MODEL: "m"}}
    return {"metadata": metadata, **more}


def a_pod(name: str, version: int, ready: str = "True") -> dict[str, Any]:
    status = {"podIP": f"10.0.0.{len(name)}", "phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}
    return an_object(name, version, "n", spec={"nodeName": "node-1"}, status=status)


def a_set(path: str, *items: dict[str, Any], then: Answer | None = None, labels: str = NAMED) -> list[Exchange]:
    """A set of a kind; nodes and adapters are followed without a selector."""
    return script.a_set(path, *items, then=then, labels="" if path in {NODE_PATH, ADAPTER_PATH} else labels)


def workloads() -> list[Exchange]:
    """The workloads, of which there are none, and adapters, whose kind is not installed."""
    return [*labelled_workloads(), *[(ADAPTER_LIST, NO_KIND)] * 50]


def by_annotation(*pods: dict[str, Any]) -> list[Exchange]:
    """The objects without the label of a model; the first of two sets that are alike counts."""
    paths = {POD_PATH: pods} | dict.fromkeys(WORKLOAD_PATHS, ())
    return [one for path, items in paths.items() for one in a_set(path, *items, labels=BY_ANNOTATION)]


def labelled_workloads() -> list[Exchange]:
    return [exchange for path in WORKLOAD_PATHS for exchange in a_set(path)]


@asynccontextmanager
async def fleets(folder: Path, *exchanges: Exchange) -> AsyncIterator[AsyncIterator[FleetDescription]]:
    """The fleets of such a cluster, one after the other."""
    async with served(Double((*exchanges, *by_annotation()))) as url:
        discovery = KubernetesPods(settings_for(folder, url), STRATEGIES, Random(1))
        async with asyncio.timeout(DEADLINE_S), aclosing(discovery.watch()) as described:
            yield described


def settings_for(folder: Path, url: str) -> KubernetesSettings:
    """The settings for a server without authentication."""
    return KubernetesSettings(enabled=True, kubeconfig=str(a_kubeconfig(folder, url)))


async def test_the_fleet_comes_with_the_lists_and_again_with_each_difference(tmp_path: Path):
    same = a_pod("a", 11) | {"spec": {"nodeName": "node-1", "hostname": "x"}}
    lines = (a_line("MODIFIED", same), a_line("MODIFIED", a_pod("a", 12, "False")), a_line("ADDED", a_pod("bb", 13)))
    pods = a_set(POD_PATH, a_pod("a", 9), then=answer(*lines, is_open=True))
    node = an_object("node-1", 3) | {"metadata": {"name": "node-1", "labels": {"forebay.io/pool": "p"}}}

    async with fleets(tmp_path, *pods, *workloads(), *a_set(NODE_PATH, node)) as described:
        seen = []
        async for description in described:
            seen.append({one.name: (one.ready, one.pool) for one in description.endpoints})
            if len(description.endpoints) == 2:
                break

    assert {"a": (False, "p"), "bb": (True, "p")} == seen[-1]
    assert len({json.dumps(one) for one in seen}) == len(seen)
    assert ["m"] == list(description.models)


async def test_an_empty_cluster_is_an_empty_fleet(tmp_path: Path):
    async with fleets(tmp_path, *a_set(POD_PATH), *workloads(), *a_set(NODE_PATH)) as described:
        assert FleetDescription() == await anext(described)


async def test_nodes_that_may_not_be_read_do_not_hold_the_fleet_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(following, "OPTIONAL_WAIT_S", 0.01)
    nodes = [(a_set(NODE_PATH)[0][0], FORBIDDEN)]

    async with fleets(tmp_path, *a_set(POD_PATH, a_pod("a", 9)), *workloads(), *nodes) as described:
        (endpoint,) = (await anext(described)).endpoints

    assert ("n/a", "") == (endpoint.id, endpoint.pool)


async def test_an_adapter_is_a_model_on_the_pods_that_have_loaded_it(tmp_path: Path):
    adapter = an_object("lora", 9, "n", status={"instances": ["a"]})
    loaded_too = a_line("MODIFIED", an_object("lora", 11, "n", status={"instances": ["a", "bb"]}))
    sets = [
        *a_set(POD_PATH, a_pod("a", 8), a_pod("bb", 8)),
        *labelled_workloads(),
        *a_set(NODE_PATH),
        *a_set(ADAPTER_PATH, adapter, then=answer(loaded_too, is_open=True)),
    ]
    async with fleets(tmp_path, *sets) as described:
        serving = [
            {one.name for one in fleet.endpoints if "lora" in one.models}
            for fleet in [await anext(described), await anext(described)]
        ]

    assert [{"a"}, {"a", "bb"}] == serving


async def test_a_model_whose_name_no_label_can_hold_is_in_an_annotation(tmp_path: Path):
    pod = a_pod("a", 9)
    pod["metadata"] |= {"labels": {"model.aibrix.ai/port": "9000"}, "annotations": {MODEL: "org/Name"}}
    sets = [*a_set(POD_PATH), *workloads(), *a_set(NODE_PATH), *by_annotation(pod)]
    async with fleets(tmp_path, *sets) as described:
        fleet = await anext(described)

    assert [(("org/Name",), "10.0.0.1:9000")] == [(one.models, one.address) for one in fleet.endpoints]
    assert ["org/Name"] == list(fleet.models)


async def test_sets_say_for_how_long_they_have_not_been_followed(tmp_path: Path):
    exchanges = [*a_set(POD_PATH, a_pod("a", 9)), *workloads(), *[(a_set(NODE_PATH)[0][0], FORBIDDEN)] * 50]
    async with served(Double((*exchanges, *by_annotation()))) as url:
        discovery = KubernetesPods(settings_for(tmp_path, url), STRATEGIES, Random(1))
        assert {} == discovery.behind_s()
        async with asyncio.timeout(DEADLINE_S), aclosing(discovery.watch()) as described:
            await anext(described)
            behind = discovery.behind_s()

    assert {"Pod": 0.0, "Deployment": 0.0, "StatefulSet": 0.0} == {
        kind: s for kind, s in behind.items() if kind != "Node"
    }
    assert behind["Node"] > 0


async def test_without_a_kubeconfig_and_outside_of_a_pod_there_is_no_fleet():
    with pytest.raises(NoWayError):
        await anext(KubernetesPods(KubernetesSettings(enabled=True), STRATEGIES, Random(1)).watch())
