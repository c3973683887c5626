"""Finding, reading and writing the replicas of objects of any kind; the real server is asked in tests/kubernetes."""

import json

import pytest

from kube.scaling import NoScale, Scales, ScaleSpec, ScaleStatus
from tests.support.kubernetes.conversation import Exchange, Request, answer
from tests.support.kubernetes.script import talking

ROOT = "/apis/orchestration.aibrix.ai/v1alpha1"
FLEET = ("orchestration.aibrix.ai/v1alpha1", "RayClusterFleet", "f", "n")
SCALE = f"{ROOT}/namespaces/n/rayclusterfleets/f/scale"


def found(*names: str) -> Exchange:
    resources = [{"name": name, "kind": "Scale" if "/" in name else "RayClusterFleet"} for name in names]
    return Request("GET", ROOT), answer(json.dumps({"resources": resources}))


async def test_a_scale_is_where_the_server_says_that_its_kind_is_and_that_is_asked_once():
    scale = {"spec": {"replicas": 2}, "status": {"replicas": 1, "selector": "app=f"}}
    exchanges = [
        found("rayclusterfleets", "rayclusterfleets/status", "rayclusterfleets/scale"),
        (Request("GET", SCALE), answer(json.dumps(scale))),
        (
            Request(
                "PATCH", f"{SCALE}?fieldManager=forebay-test", '{"spec":{"replicas":3}}', "application/merge-patch+json"
            ),
            answer("{}"),
        ),
    ]
    async with talking(exchanges) as (client, double):
        scales = Scales(client)
        read = await scales.read(*FLEET)
        await scales.write(*FLEET, 3)

    assert (ScaleSpec(2), ScaleStatus(1, "app=f")) == (read.spec, read.status)
    assert [] == double.unsaid


async def test_no_replicas_are_left_out_of_answers():
    async with talking(
        [found("rayclusterfleets", "rayclusterfleets/scale"), (Request("GET", SCALE), answer("{}"))]
    ) as (
        client,
        _,
    ):
        assert ScaleSpec(0) == (await Scales(client).read(*FLEET)).spec


@pytest.mark.parametrize(
    ("names", "why"),
    [(("others",), "has no kind"), (("rayclusterfleets", "rayclusterfleets/status"), "has no subresource scale")],
)
async def test_a_kind_without_replicas_is_said(names: tuple[str, ...], why: str):
    resources = [{"name": name, "kind": "RayClusterFleet" if name.startswith("ray") else "Other"} for name in names]
    exchange = Request("GET", ROOT), answer(json.dumps({"resources": resources}))
    async with talking([exchange]) as (client, _):
        with pytest.raises(NoScale, match=why):
            await Scales(client).read(*FLEET)


async def test_a_group_that_is_not_installed_is_said():
    async with talking([(Request("GET", ROOT), answer("404 page not found", status=404))]) as (client, _):
        with pytest.raises(NoScale, match="the server has no orchestration"):
            await Scales(client).read(*FLEET)
