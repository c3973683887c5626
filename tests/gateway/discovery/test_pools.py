"""The fleet of InferencePools, told by a server that answers as written here; the real one: tests/kubernetes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from gateway.config.picker import PickerSettings
from gateway.discovery.description import FleetDescription
from gateway.discovery.models import steered
from gateway.discovery.pools import (
    OBJECTIVES,
    POOLS,
    REWRITES,
    InferencePools,
    ours_of,
    priorities,
    rules,
)
from gateway.openai.rewrites import Rewrite, Target
from kube import following
from routing.table import STRATEGIES
from tests.gateway.discovery.test_kubernetes import BY_ANNOTATION, MODEL, NAMED, settings_for
from tests.support.kubernetes.conversation import Double, Exchange, answer, served
from tests.support.kubernetes.script import a_set
from tests.support.polling import DEADLINE_S

NAMESPACE = "serving"
LABELS = {"app": "vllm"}
NO_KIND = answer('{"code": 404, "reason": "NotFound", "message": "no such kind"}', status=404)
WORKLOADS = ("/apis/apps/v1/namespaces/serving/deployments", "/apis/apps/v1/namespaces/serving/statefulsets")
PODS = "/api/v1/namespaces/serving/pods"


def an_object(name: str, spec: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "resourceVersion": "9", **more.pop("metadata", {})}
    return {"metadata": metadata, "spec": spec, **more}


def a_pool(name: str = "pool", picker: str = "forebay", ports: tuple[int, ...] = (8000,), **more: Any) -> Any:
    reference = {"name": picker, "group": "", "kind": "Service", "port": {"number": 50052}, **more.pop("reference", {})}
    targets = [{"number": port} for port in ports]
    selector = {"matchLabels": LABELS}
    spec = {"selector": selector, "targetPorts": targets, "endpointPickerRef": reference}
    return an_object(name, spec, **more)


def a_pod(name: str, ip: str, labels: Mapping[str, str] = LABELS) -> dict[str, Any]:
    status = {"podIP": ip, "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return an_object(name, {"nodeName": "n"}, status=status, metadata={"labels": labels})


def about(name: str = "pool", **more: str) -> dict[str, str]:
    return {"name": name, "group": "inference.networking.k8s.io", "kind": "InferencePool", **more}


def decoded(kind: Any, *objects: Any) -> list[Any]:
    return [kind.decode(msgspec.json.encode(one)) for one in objects]


def others() -> list[Exchange]:
    """The sets of a cluster that say nothing here; the first of two sets that are alike counts."""
    by = [(path, labels) for path in WORKLOADS for labels in (NAMED, BY_ANNOTATION)]
    return [*a_set("/api/v1/nodes"), *(one for path, labels in by for one in a_set(path, labels=labels))]


@asynccontextmanager
async def fleets(folder: Path, *exchanges: Exchange) -> AsyncIterator[AsyncIterator[FleetDescription]]:
    async with served(Double((*exchanges, *others()))) as url:
        pools = InferencePools(settings_for(folder, url), f"{NAMESPACE}/forebay", STRATEGIES, Random(1))

        async with asyncio.timeout(DEADLINE_S), aclosing(pools.watch()) as described:
            yield described


def path(kind: Any) -> str:
    return str(kind.path(NAMESPACE))


async def test_the_fleet_is_the_pods_of_the_pools_that_name_us_with_what_steers_requests(tmp_path: Path):
    pods = a_set(PODS, a_pod("a", "10.0.0.1"), a_pod("other", "10.0.0.2", {"app": "web", "model.aibrix.ai/name": "m"}))
    pools = a_set(path(POOLS), a_pool(ports=(8000, 8001)), a_pool("theirs", "their-picker", ports=(9000,)))
    objectives = a_set(path(OBJECTIVES), an_object("urgent", {"priority": 5, "poolRef": about()}))
    rule = {"matches": [{"model": {"value": "m"}}], "targets": [{"modelRewrite": "v1", "weight": 1}]}
    rewrites = a_set(path(REWRITES), an_object("r", {"poolRef": about(), "rules": [rule]}))

    async with fleets(tmp_path, *pods, *pools, *objectives, *rewrites) as described:
        async for fleet in described:
            if fleet.endpoints and fleet.objectives and fleet.rewrites:
                break

    assert [
        ("serving/a:8000", "a-rank-0", "10.0.0.1:8000", ()),
        ("serving/a:8001", "a-rank-1", "10.0.0.1:8001", ()),
    ] == [(one.id, one.name, one.address, one.models) for one in fleet.endpoints]
    assert {"urgent": 5} == fleet.objectives
    assert (Rewrite(("m",), (Target("v1"),)),) == fleet.rewrites


async def test_kinds_that_are_not_installed_are_an_empty_fleet_until_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(following, "OPTIONAL_WAIT_S", 0.01)
    missing = [(a_set(path(kind))[0][0], NO_KIND) for kind in (POOLS, OBJECTIVES, REWRITES)]
    later = [one for kind in (OBJECTIVES, REWRITES) for one in a_set(path(kind))]

    async with fleets(
        tmp_path, *a_set(PODS, a_pod("a", "10.0.0.1")), *missing, *a_set(path(POOLS), a_pool()), *later
    ) as described:
        assert () == (await anext(described)).endpoints
        assert ["serving/a"] == [one.id for one in (await anext(described)).endpoints]


async def test_a_model_that_a_workload_without_pods_names_in_an_annotation_is_known(tmp_path: Path):
    workload = an_object("d", {}, metadata={"annotations": {MODEL: "org/Name"}})
    empty = [one for where in (PODS, *map(path, (POOLS, OBJECTIVES, REWRITES))) for one in a_set(where)]

    async with fleets(tmp_path, *empty, *a_set(WORKLOADS[0], workload, labels=BY_ANNOTATION)) as described:
        assert ["org/Name"] == list((await anext(described)).models)


@pytest.mark.parametrize(
    ("pool", "is_ours"),
    [
        (a_pool(), True),
        (an_object("p", {"endpointPickerRef": {"name": "forebay"}}), True),
        (a_pool(picker="other"), False),
        (a_pool(reference={"kind": "Other"}), False),
        (a_pool(reference={"group": "other.example.com"}), False),
        (a_pool(metadata={"deletionTimestamp": "2027-01-15T08:00:00Z"}), False),
        (an_object("p", {"extensionRef": {"name": "forebay"}}), False),
    ],
)
def test_a_pool_is_ours_if_its_picker_is_our_service(pool: Any, is_ours: bool):
    assert is_ours == bool(ours_of(decoded(POOLS, pool), "forebay"))


@pytest.mark.parametrize(
    "reference", [about("other"), about(group="inference.networking.x-k8s.io"), about(kind="Service")]
)
def test_objectives_and_rewrites_of_other_pools_say_nothing(reference: dict[str, str]):
    ours = ours_of(decoded(POOLS, a_pool()), "forebay")
    rule = {"targets": [{"modelRewrite": "v"}]}
    assert {} == priorities(decoded(OBJECTIVES, an_object("o", {"poolRef": reference, "priority": 1})), ours)
    assert [] == [*rules(decoded(REWRITES, an_object("r", {"poolRef": reference, "rules": [rule]})), ours)]


def test_a_cluster_and_yaml_steer_alike():
    ours = ours_of(decoded(POOLS, a_pool()), "forebay")
    objectives = [
        an_object("urgent", {"poolRef": {"name": "pool"}, "priority": 9}),
        an_object("usual", {"poolRef": about()}),
    ]
    even = {"targets": [{"modelRewrite": "v1"}, {"modelRewrite": "v2"}]}
    exact = {
        "matches": [{"model": {"type": "Exact", "value": "m"}}, {"model": {"value": "n"}}],
        "targets": [{"modelRewrite": "v1", "weight": 9}, {"modelRewrite": "v2", "weight": 1}],
    }
    rewrites = [
        an_object(
            "newer", {"poolRef": about(), "rules": [even, {}]}, metadata={"creationTimestamp": "2027-02-01T00:00:00Z"}
        ),
        an_object(
            "older", {"poolRef": about(), "rules": [exact]}, metadata={"creationTimestamp": "2027-01-01T00:00:00Z"}
        ),
    ]
    yaml = PickerSettings.model_validate(
        {
            "objectives": [{"name": "urgent", "priority": 9}, {"name": "usual"}],
            "rewrites": [
                {"models": ["m", "n"], "targets": [{"model": "v1", "weight": 9}, {"model": "v2", "weight": 1}]},
                {"targets": [{"model": "v1"}, {"model": "v2"}]},
            ],
        }
    )

    by_yaml = steered(FleetDescription(), yaml)

    assert by_yaml.objectives == priorities(decoded(OBJECTIVES, *objectives), ours)
    assert by_yaml.rewrites == tuple(rules(decoded(REWRITES, *rewrites), ours))
