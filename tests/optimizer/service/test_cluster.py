"""The deployments of a cluster, told by a server that answers as written here; the real one: tests/kubernetes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from kube.errors import NoWayError
from optimizer.planning.deployments import Deployment
from optimizer.service.cluster import ClusterDeployments
from tests.support.kubernetes.conversation import Double, Exchange, answer, served
from tests.support.kubernetes.script import a_kubeconfig, a_line, a_set
from tests.support.polling import DEADLINE_S, until

NAME, MIN_REPLICAS = "model.aibrix.ai/name", "model.aibrix.ai/min_replicas"
SELECTORS = ("model.aibrix.ai%2Fname", "%21model.aibrix.ai%2Fname%2Cmodel.aibrix.ai%2Fport")
UNAVAILABLE = answer('{"code": 503, "reason": "ServiceUnavailable", "message": "no"}', status=503)


def a_deployment(version: int, minimum: str = "0") -> dict[str, Any]:
    labels = {NAME: "m", MIN_REPLICAS: minimum}
    return {"metadata": {"name": "m-l20", "namespace": "n", "resourceVersion": str(version), "labels": labels}}


def a_cluster(*deployments: Exchange, namespace: str = "") -> list[Exchange]:
    """The sets that are followed, all empty but that of labelled Deployments."""
    root = f"/apis/apps/v1{namespace}"
    paths = [(f"{root}/{plural}", labels) for plural in ("deployments", "statefulsets") for labels in SELECTORS]
    return [*deployments, *[one for path, labels in paths[bool(deployments) :] for one in a_set(path, labels=labels)]]


@asynccontextmanager
async def following(
    folder: Path, *exchanges: Exchange, namespace: str = ""
) -> AsyncIterator[tuple[ClusterDeployments, AsyncIterator[tuple[Deployment, ...]]]]:
    async with served(Double(exchanges)) as url:
        source = ClusterDeployments(a_kubeconfig(folder, url), namespace, Random(1))
        async with asyncio.timeout(DEADLINE_S), aclosing(source.watch()) as found:
            yield source, found


async def test_a_label_that_changes_is_followed(tmp_path: Path):
    changed = answer(a_line("MODIFIED", a_deployment(11, minimum="2")), is_open=True)
    deployments = a_set("/apis/apps/v1/deployments", a_deployment(9), labels=SELECTORS[0], then=changed)
    seen = []

    async with following(tmp_path, *a_cluster(*deployments)) as (source, found):
        assert "the cluster was not asked yet" == source.problem
        async for (deployment,) in found:
            seen.append(deployment.min_replicas)
            if seen[-1] == 2:
                break

        assert "" == source.problem
    assert seen in ([0, 2], [2])  # the change may come before the other lists


async def test_one_namespace_may_be_followed_alone(tmp_path: Path):
    async with following(tmp_path, *a_cluster(namespace="/namespaces/mine"), namespace="mine") as (_, found):
        assert () == await anext(found)


async def test_while_the_server_is_away_the_last_deployments_stay(tmp_path: Path):
    path = "/apis/apps/v1/deployments"
    ended = a_set(path, a_deployment(9), labels=SELECTORS[0], then=answer(a_line("MODIFIED", a_deployment(10))))
    away = [(a_set(path, version=10, labels=SELECTORS[0])[1][0], UNAVAILABLE)] * 50

    async with following(tmp_path, *a_cluster(*ended), *away) as (source, found):
        (deployment,) = await anext(found)
        later = asyncio.ensure_future(anext(found))
        await until(lambda: "deployments: " in source.problem)

        assert "m-l20" == deployment.name
        assert not later.done()
        later.cancel()
        await asyncio.wait([later])


def test_without_a_way_to_a_server_that_is_said_at_once(tmp_path: Path):
    with pytest.raises(NoWayError, match="nowhere"):
        ClusterDeployments(tmp_path / "nowhere", "", Random(1))
