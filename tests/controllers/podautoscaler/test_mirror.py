"""Strategy HPA: the HorizontalPodAutoscaler is made, mended and deleted, and its status is taken over."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec

from autoscaling.bounds import Bounds
from autoscaling.spec_reading import read
from controllers.podautoscaler.conditions import ABLE, ACTIVE
from controllers.podautoscaler.hpas import HPAS, hpa_of
from controllers.podautoscaler.mirror import LOOK_AGAIN_S, MIRROR_S, Mirror
from controllers.podautoscaler.objects import PodAutoscaler
from controllers.podautoscaler.scaler import Step
from kube.client import ALL
from kube.informer import Informer
from kube.objects import Metadata
from tests.support.kubernetes import script
from tests.support.kubernetes.autoscalers import an_autoscaler
from tests.support.kubernetes.conversation import ANY, Answer, Exchange, Request, answer
from tests.support.polling import until
from tests.support.running import running

DOCUMENT = an_autoscaler("a", scalingStrategy="HPA")
AUTOSCALER = msgspec.convert(DOCUMENT, PodAutoscaler).metadata
SPEC = read(DOCUMENT)
PLACE = HPAS.path("default")
TAKEN = answer('{"code": 409, "reason": "AlreadyExists"}', status=409)
REFUSED = answer('{"code": 422, "message": "no such metric"}', status=422)


def an_hpa(least: int = 1, **status: Any) -> dict[str, Any]:
    """The object as it is there."""
    made = hpa_of(AUTOSCALER, SPEC, Bounds(least, 8)).body()
    made["metadata"] |= {"uid": "h", "resourceVersion": "3"}
    return made | {"status": status}


def made(told: Answer | None = None) -> Exchange:
    return Request("POST", f"{PLACE}?fieldManager=forebay-test", ANY, "application/json"), told or answer("{}")


async def mirrored(there: Sequence[dict[str, Any]], *exchanges: Exchange, removing: bool = False) -> Step | None:
    """One step, or the removal, where these objects are there; all the exchanges have to happen."""
    async with script.talking([*script.a_set(HPAS.path(), *there), *exchanges]) as (client, double):
        hpas = Informer(client, HPAS, ALL, Random(1))
        mirror = Mirror(client, hpas, lambda: 1_800_000_000.0)
        async with running(hpas.run()):
            await until(lambda: hpas.is_listed)
            step = None if removing else await mirror.step(AUTOSCALER, SPEC)
            if removing:
                await mirror.remove(AUTOSCALER)
        assert [] == [request for request in double.unsaid if "watch=true" not in request.target]
    return step


async def test_the_object_is_made_and_looked_at_again():
    step = await mirrored([], made())

    assert step
    assert (LOOK_AGAIN_S, "Unknown") == (step.again_s, step.found[ACTIVE].status)


async def test_one_that_somebody_changed_is_mended():
    patch = Request("PATCH", f"{PLACE}/a-hpa?fieldManager=forebay-test", ANY, "application/merge-patch+json")

    assert await mirrored([an_hpa(least=3)], (patch, answer("{}")))


async def test_its_status_is_taken_over():
    conditions = [{"type": kind, "status": "True", "reason": "R", "message": "m"} for kind in (ABLE, ACTIVE)]
    status = {"currentReplicas": 2, "desiredReplicas": 3, "lastScaleTime": "2027-01-01T00:00:00Z"}

    step = await mirrored([an_hpa(conditions=conditions, **status)])

    assert step
    assert (MIRROR_S, 2, 3, "2027-01-01T00:00:00Z") == (step.again_s, step.actual, step.desired, step.scaled_at)
    assert {("True", "R", "m")} == {*step.found.values()}


async def test_one_of_the_same_name_that_is_not_ours_is_left_alone():
    step = await mirrored([], made(TAKEN))

    assert step
    assert ("False", "NotOurs") == step.found[ABLE][:2]


async def test_what_the_server_refuses_is_told():
    step = await mirrored([], made(REFUSED))

    assert step
    assert ("False", "a-hpa: no such metric") == (step.found[ABLE].status, step.found[ABLE].message)


async def test_it_goes_when_another_strategy_scales():
    gone = Request("DELETE", f"{PLACE}/a-hpa", json.dumps({"preconditions": {"uid": "h"}}, separators=(",", ":")),
                   "application/json")  # fmt: skip

    await mirrored([an_hpa()], (gone, answer("{}")), removing=True)
    await mirrored([], removing=True)


def test_the_autoscaler_of_these_tests_has_a_place():
    assert Metadata(name="a", namespace="default") == AUTOSCALER
