"""Targets as they are seen: which pods are ready, start, or go, and what they serve."""

from typing import Any

import pytest

from autoscaling.spec import Target
from controllers.podautoscaler.targets import Seen, Targets
from kube.models import MODEL
from tests.support.kubernetes.conversation import Exchange, Request, answer
from tests.support.kubernetes.scaled import a_look, a_pod, kinds, scaled, the_object
from tests.support.kubernetes.script import talking

DEPLOYMENT = Target("apps/v1", "Deployment", "d", "default")


async def seen(*exchanges: Exchange, looks: int = 1) -> Seen:
    """The last of some looks."""
    async with talking([kinds(), *exchanges]) as (client, double):
        targets = Targets(client)
        found = [await targets.look(DEPLOYMENT) for _ in range(looks)]
    assert [] == double.unsaid
    return found[-1]


def counts(target: Seen) -> tuple[int, int, int]:
    return target.ready, target.starting, target.leaving


@pytest.mark.parametrize(
    ("replicas", "pods", "expected"),
    [
        (3, [a_pod("a"), a_pod("b", ready=False)], (1, 2, 0)),
        (1, [a_pod("a"), a_pod("b", deleted=True)], (1, 0, 1)),
        (1, [a_pod("a"), a_pod("b"), a_pod("c")], (1, 0, 2)),  # not deleted yet
        (2, [a_pod("a"), a_pod("b", phase="Failed")], (1, 1, 0)),
        (0, [], (0, 0, 0)),
    ],
)
async def test_pods_are_ready_starting_or_leaving(replicas: int, pods: list[Any], expected: tuple[int, int, int]):
    target = await seen(*a_look(replicas, *pods), the_object())

    assert expected == counts(target)
    assert (replicas, len(pods)) == (target.replicas, target.actual)


async def test_the_model_is_that_of_the_pods():
    assert "m" == (await seen(*a_look(1, a_pod("a", **{MODEL: "m"})))).model


async def test_without_pods_the_object_is_asked_once():
    look = a_look(0)

    assert "m" == (await seen(*look, the_object(**{MODEL: "m"}), *look, looks=2)).model


async def test_an_object_that_may_not_be_read_has_no_model():
    forbidden = the_object()[0], answer('{"code": 403, "reason": "Forbidden"}', status=403)

    assert "" == (await seen(*a_look(0), forbidden)).model


async def test_a_pod_is_told_with_its_address_and_since_when_it_is_there():
    [pod] = (await seen(*a_look(1, a_pod("a")), the_object())).pods

    assert ("a", "10.0.0.1", True, 1_798_761_600.0) == (pod.name, pod.ip, pod.is_ready, pod.started_s)


async def test_a_target_that_does_not_say_which_pods_are_its_own_has_none():
    (request, _), _ = a_look(2)
    scale = request, answer('{"spec": {"replicas": 2}, "status": {"replicas": 2}}')

    assert (0, 2, 0) == counts(await seen(scale, the_object()))


async def test_of_a_fleet_only_heads_count():
    root = "/apis/orchestration.aibrix.ai/v1alpha1"
    names = {"rayclusterfleets": "RayClusterFleet", "rayclusterfleets/scale": "Scale"}
    resources = ",".join(f'{{"name": "{name}", "kind": "{kind}"}}' for name, kind in names.items())
    place = f"{root}/namespaces/default/rayclusterfleets/f"
    pods = "/api/v1/namespaces/default/pods?labelSelector=app%3Df%2Cray.io%2Fnode-type%3Dhead&limit=500"
    exchanges = [
        (Request("GET", root), answer(f'{{"resources": [{resources}]}}')),
        (Request("GET", f"{place}/scale"), answer('{"status": {"selector": "app=f"}}')),
        (Request("GET", pods), answer('{"metadata": {}, "items": []}')),
        (Request("GET", place), answer("{}")),
    ]
    async with talking(exchanges) as (client, double):
        await Targets(client).look(Target("orchestration.aibrix.ai/v1alpha1", "RayClusterFleet", "f", "default"))

    assert [] == double.unsaid


async def test_replicas_are_written_to_its_scale():
    async with talking([kinds(), scaled(3)]) as (client, double):
        await Targets(client).scale(DEPLOYMENT, 3)

    assert [] == double.unsaid


@pytest.mark.parametrize(
    ("replicas", "resting", "expected"),
    [
        (3, {"b"}, (2, 1, 2, 0, 0)),
        (4, {"b"}, (3, 1, 2, 1, 0)),
        (2, {"b"}, (2, 0, 2, 0, 0)),  # one is too many: that which is not ready will be deleted
        (2, {"b", "c"}, (1, 1, 1, 0, 0)),
    ],
)
async def test_pods_that_sleep_are_neither_ready_nor_starting(
    replicas: int, resting: set[str], expected: tuple[int, int, int, int, int]
):
    target = (await seen(*a_look(replicas, a_pod("a"), a_pod("b"), a_pod("c")), the_object())).without(resting)

    assert expected == (target.awake, target.asleep, *counts(target))
