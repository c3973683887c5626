"""The controller of PodAutoscalers, told by a server that answers as written here; the real one: tests/kubernetes."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from controllers.podautoscaler.controller import OURS, PodAutoscalerController
from controllers.podautoscaler.hpas import HPAS
from controllers.podautoscaler.objects import AUTOSCALERS
from kube.events import EVENTS, Recorder
from tests.support.kubernetes import script
from tests.support.kubernetes.autoscalers import a_source, an_autoscaler
from tests.support.kubernetes.conversation import ANY, Double, Exchange, Request, answer
from tests.support.kubernetes.hands import Hands
from tests.support.kubernetes.scaled import (
    MISSING,
    STATES,
    Seeing,
    a_look,
    a_pod,
    kept,
    kinds,
    recalled,
    scaled,
    the_object,
)
from tests.support.memory_wakes import MemoryWakes
from tests.support.polling import until
from tests.support.running import running

PLAN = a_source(metricSourceType="domain", endpoint="e:80", port=None, targetMetric="vllm:deployment_replicas",
                targetValue="100")  # fmt: skip
BY_PLAN = {"metricsSources": [PLAN], "minReplicas": 0}
OURS_QUOTED = OURS.replace("/", "%2F").replace("=", "%3D")
NO_STATES = f"{STATES}?labelSelector=forebay.io%2Fremembers%3Dpodautoscaler&limit=500"
POD = a_pod("p", **{"model.aibrix.ai/name": "m"})


def an_object(name: str, created: str = "2027-01-01", deleted: str | None = None, **spec: Any) -> dict[str, Any]:
    made = an_autoscaler(name, **(BY_PLAN | spec))
    times = {"creationTimestamp": f"{created}T00:00:00Z", "deletionTimestamp": deleted}
    made["metadata"] |= {"uid": f"{name}-uid", "generation": 1, "resourceVersion": "3", **times}
    return made


def written(name: str) -> Exchange:
    path = f"{AUTOSCALERS.path('default', name, 'status')}?fieldManager=forebay-test"
    return Request("PATCH", path, ANY, "application/merge-patch+json"), answer("{}")


def told() -> Exchange:
    return Request("POST", f"{EVENTS.path('default')}?fieldManager=forebay-test", ANY, "application/json"), answer("{}")


@asynccontextmanager
async def leading(
    sight: Seeing, autoscalers: Sequence[dict[str, Any]], *exchanges: Exchange, later: Sequence[str] = ()
) -> AsyncIterator[tuple[PodAutoscalerController, Double]]:
    """A controller that leads, whose clocks stand still; `later` are lines of the watch of autoscalers."""
    then = answer(*later, is_open=True) if later else None
    sets = [
        *script.a_set(AUTOSCALERS.path(), *autoscalers, then=then),
        *script.a_set(HPAS.path(), labels=OURS_QUOTED),
        (Request("GET", NO_STATES), answer('{"metadata": {}, "items": []}')),
    ]
    async with script.talking([*sets, *exchanges, *[told()] * 20]) as (client, double):
        clocks = Hands().clocks()
        recorder = Recorder(client, "forebay-test", "i", clocks=clocks, rng=Random(1))
        one = PodAutoscalerController(
            client, sight, recorder, clocks, rng=Random(2), namespace="home", wakes=MemoryWakes()
        )
        async with running(*(each.run() for each in one.followed), one.lead()):
            yield one, double


def statuses(double: Double) -> dict[str, dict[str, Any]]:
    """The conditions that were written last, by autoscaler: reasons by type and status."""
    found = {}
    for request in double.asked:
        if request.method == "PATCH" and "/status?" in request.target:
            status = json.loads(request.body)["status"]
            name = request.target.split("/")[-2]
            found[name] = {one["type"]: (one["status"], one["reason"], one["message"]) for one in status["conditions"]}
    return found


async def test_an_autoscaler_scales_its_target_and_says_so():
    exchanges = (kinds(), recalled("a-uid"), *a_look(1, POD), scaled(3), written("a"), kept("a-uid"))
    async with leading(Seeing(3.0), [an_object("a")], *exchanges) as (one, double):
        await until(lambda: "a" in statuses(double))

        assert "True" == statuses(double)["a"]["Ready"][0]
        assert [] == list(one.missing())
        assert {"ready": 0, "not ready": 1} == one.states()  # as far as the set tells
        await until(lambda: any("SuccessfulRescale" in request.body for request in double.asked))


async def test_when_it_leads_no_more_the_state_is_kept():
    exchanges = (kinds(), recalled("a-uid"), *a_look(3, POD), written("a"), kept("a-uid"))
    sight = Seeing(3.0)
    async with leading(sight, [an_object("a")], *exchanges) as (_, double):
        await until(lambda: "a" in statuses(double))

    assert "podautoscaler-a-uid" in double.asked[-1].target
    assert ["d"] == [target.name for target in sight.forgotten]


async def test_of_two_the_younger_does_nothing_until_the_older_goes():
    old, young = an_object("b", "2026-01-01"), an_object("a", "2026-01-02", maxReplicas=5)
    going = script.a_line("DELETED", old)
    exchanges = (
        kinds(), recalled("b-uid"), *a_look(1, POD), scaled(3), written("b"), written("a"),
        recalled("a-uid"), *a_look(3, POD), written("a"), kept("a-uid"), kept("b-uid"),
    )  # fmt: skip
    sight = Seeing(3.0)
    async with leading(sight, [young, old], *exchanges) as (_, double):
        await until(lambda: {"a", "b"} == statuses(double).keys())
        assert ("True", "TargetIsTaken") == statuses(double)["a"]["MultiPodAutoscalerConflict"][:2]
        assert "default/b is older" in statuses(double)["a"]["Ready"][2]
        assert "True" == statuses(double)["b"]["Ready"][0]
        assert 1 == len(sight.seen)

    async with leading(sight, [young, old], *exchanges, later=[going]) as (_, double):
        await until(lambda: statuses(double).get("a", {}).get("Ready", ("",))[0] == "True")


async def test_one_that_cannot_be_read_names_the_field_and_scales_nothing():
    sight = Seeing(3.0)
    async with leading(sight, [an_object("a", maxReplicas=0)], written("a")) as (_, double):
        await until(lambda: "a" in statuses(double))

    status, reason, message = statuses(double)["a"]["ValidSpec"]
    assert ("False", "InvalidSpec") == (status, reason)
    assert message.startswith("spec.maxReplicas = 0")
    assert [] == sight.seen


async def test_strategy_hpa_makes_an_object_and_scales_nothing():
    sight = Seeing(3.0)
    made = Request("POST", f"{HPAS.path('default')}?fieldManager=forebay-test", ANY, "application/json"), answer("{}")
    autoscaler = an_object("a", scalingStrategy="HPA", metricsSources=[a_source()], minReplicas=1)
    async with leading(sight, [autoscaler], made, written("a")) as (_, double):
        await until(lambda: "a" in statuses(double))

    assert made[0].target in {request.target for request in double.asked}
    assert [] == sight.seen


async def test_another_specification_is_decided_by_what_was_known_before():
    before, after = an_object("a"), an_object("a", maxReplicas=2)
    after["metadata"] |= {"generation": 2}
    look = a_look(1, POD)
    exchanges = (kinds(), recalled("a-uid"), *look, scaled(3), written("a"), written("a"), kept("a-uid"),
                 recalled("a-uid"), *look, scaled(2), kept("a-uid"))  # fmt: skip
    async with leading(Seeing(3.0), [before], *exchanges, later=[script.a_line("MODIFIED", after)]) as (_, double):
        await until(lambda: scaled(2)[0] in double.asked)

        asked = [request.target for request in double.asked]
        keeping, recalling = kept("a-uid")[0].target, recalled("a-uid")[0].target
        if asked.count(recalling) == 2:  # the first specification was worked on before the second was told
            assert asked.index(keeping) < len(asked) - 1 - asked[::-1].index(recalling)


async def test_where_the_kind_is_not_installed_there_is_nothing_to_do():
    listing = [(script.a_set(AUTOSCALERS.path())[0][0], MISSING)] * 5
    sets = [*listing, *script.a_set(HPAS.path(), labels=OURS_QUOTED)]
    async with script.talking(sets) as (client, _):
        clocks = Hands().clocks()
        recorder = Recorder(client, "forebay-test", "i", clocks=clocks, rng=Random(1))
        one = PodAutoscalerController(
            client, Seeing(), recorder, clocks, rng=Random(2), namespace="home", wakes=MemoryWakes()
        )
        async with running(*(each.run() for each in one.followed)):
            await until(lambda: one.followed[0].is_absent and one.followed[1].is_listed)
            assert [] == list(one.missing())


async def test_a_wake_has_its_target_looked_at_at_once_and_no_other():
    looks = [kinds(), recalled("a-uid"), *a_look(0), the_object(**{"model.aibrix.ai/name": "m"}), written("a")]
    again = [*a_look(0), scaled(1), written("a")]
    async with leading(Seeing(0.0), [an_object("a")], *looks, *again) as (one, double):
        wakes = one._tools.wakes
        await until(lambda: any(scaler.sleeps("m") for scaler in one._scalers.values()))
        await wakes.publish("other")
        await asyncio.sleep(0.2)
        assert len([asked for asked in double.asked if asked.target.endswith("/scale")]) == 1

        await wakes.publish("m")

        await until(lambda: any(asked.method == "PATCH" and "/scale" in asked.target for asked in double.asked))
