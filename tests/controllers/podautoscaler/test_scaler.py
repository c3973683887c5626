"""One autoscaler at work: from what is seen to replicas, and what each step can fail by."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autoscaling.spec import Target
from autoscaling.spec_reading import read
from controllers.podautoscaler.conditions import ABLE, ACTIVE
from controllers.podautoscaler.memory import Memory
from controllers.podautoscaler.objects import PodAutoscaler, ScalingDecision, Status
from controllers.podautoscaler.scaler import KEEP_S, LOOK_AGAIN_S, Scaler, Tools, is_never_empty, scheduled
from controllers.podautoscaler.targets import Targets
from controllers.podautoscaler.waking import Sleeper, Turns
from kube.errors import Unreachable
from tests.support.kubernetes.autoscalers import a_source, an_autoscaler
from tests.support.kubernetes.conversation import Double, Exchange, answer
from tests.support.kubernetes.scaled import (
    MISSING,
    Seeing,
    a_look,
    a_pod,
    kept,
    kinds,
    recalled,
    scaled,
    the_object,
)
from tests.support.kubernetes.script import talking
from tests.support.memory_wakes import MemoryWakes
from tests.support.own_engine import Reply, own_engine
from tests.support.polling import until
from tests.support.sidecar import sidecar

MODEL = {"model.aibrix.ai/name": "m"}
PLAN = a_source(metricSourceType="domain", endpoint="e:80", port=None, targetMetric="vllm:deployment_replicas")
BY_PLAN = {"metricsSources": [PLAN | {"targetValue": "100"}], "minReplicas": 0}
"""An autoscaler that gives its target as many replicas as somebody publishes."""


@asynccontextmanager
async def a_scaler(
    sight: Seeing,
    *exchanges: Exchange,
    status: Status | None = None,
    uid: str = "u",
    wakes: MemoryWakes | None = None,
    turns: Turns | None = None,
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> AsyncIterator[tuple[Scaler, Double]]:
    """A scaler at an API server that answers so."""
    document = an_autoscaler(**spec)
    document["metadata"] |= {"uid": uid, "annotations": dict(annotations or {})}
    autoscaler = msgspec.structs.replace(msgspec.convert(document, PodAutoscaler), status=status or Status())
    async with talking([kinds(), *exchanges]) as (client, double):
        memory, wakes, turns = Memory(client, "home"), wakes or MemoryWakes(), turns or Turns()
        tools = Tools(Targets(client), sight, memory, wakes, turns, lambda: sight.now_s)
        yield Scaler(autoscaler, read(autoscaler.document()), tools), double


def pods(number: int) -> list[Any]:
    return [a_pod(f"p{index}", **MODEL) for index in range(number)]


async def test_replicas_follow_the_decision():
    async with a_scaler(Seeing(3.0), recalled("u"), *a_look(1, *pods(1)), scaled(3), **BY_PLAN) as (scaler, double):
        step = await scaler.step()

    assert [] == double.unsaid
    assert (1, 3) == (step.actual, step.desired)
    assert step.change
    assert (1, 3, True) == (step.change.previous_scale, step.change.new_scale, step.change.success)
    assert step.change.reason.startswith("KPA: ")


async def test_nothing_is_written_while_the_replicas_are_right():
    sight = Seeing(2.0)
    async with a_scaler(sight, recalled("u"), *a_look(2, *pods(2)), **BY_PLAN) as (scaler, double):
        step = await scaler.step()

    assert [] == double.unsaid
    assert step.change is None
    assert [("m", 2, 0, 0)] == sight.seen
    assert "True" == step.found[ACTIVE].status


async def test_a_value_that_is_missing_leaves_the_replicas_and_says_why():
    async with a_scaler(Seeing(None), recalled("u"), *a_look(2, *pods(2)), **BY_PLAN) as (scaler, _):
        step = await scaler.step()

    assert (2, None) == (step.desired, step.change)
    assert ("False", "FailedGetMetrics") == step.found[ACTIVE][:2]
    assert "answered 404" in step.found[ACTIVE].message


async def test_a_target_that_is_not_there_is_looked_for_again():
    (request, _), *_ = a_look(1)
    async with a_scaler(Seeing(), recalled("u"), (request, MISSING)) as (scaler, _):
        step = await scaler.step()

    assert LOOK_AGAIN_S == step.again_s
    assert ("False", "FailedGetScale") == step.found[ABLE][:2]
    assert "spec.scaleTargetRef: there is no such thing" == step.found[ABLE].message


async def test_a_target_that_somebody_switched_off_is_left_alone():
    sight = Seeing(9.0)
    async with a_scaler(sight, recalled("u"), *a_look(0), the_object()) as (scaler, _):
        step = await scaler.step()

    assert ([], 0, None) == (sight.seen, step.desired, step.change)
    assert ("False", "ScalingDisabled") == step.found[ACTIVE][:2]


async def test_a_target_that_an_autoscaler_emptied_has_its_new_least_replicas():
    emptied = Status(scaling_history=(ScalingDecision("2027-01-01T00:00:00Z", 1, 0, "KPA: idle", success=True),))
    exchanges = (recalled("u"), *a_look(0), the_object(), scaled(1))
    async with a_scaler(Seeing(0.0), *exchanges, status=emptied) as (scaler, double):
        await scaler.step()

    assert [] == double.unsaid


async def test_a_target_at_0_is_scaled_where_that_is_within_its_bounds():
    async with a_scaler(Seeing(4.0), recalled("u"), *a_look(0), the_object(), scaled(4), **BY_PLAN) as (scaler, double):
        await scaler.step()

    assert [] == double.unsaid


async def test_pods_that_are_about_to_go_do_not_count():
    """Just after a scale-down all pods are still ready: to keep what there is must not bring them back."""
    sight = Seeing(None)
    async with a_scaler(sight, recalled("u"), *a_look(1, *pods(4)), **BY_PLAN) as (scaler, _):
        step = await scaler.step()

    assert [("m", 4, 0, 3)] == sight.seen
    assert (1, None) == (step.desired, step.change)


async def test_replicas_that_cannot_be_written_are_told():
    refused = answer('{"code": 403, "reason": "Forbidden", "message": "no"}', status=403)
    async with a_scaler(Seeing(3.0), recalled("u"), *a_look(1, *pods(1)), scaled(3, refused), **BY_PLAN) as (scaler, _):
        step = await scaler.step()

    assert ("False", "FailedUpdateScale", "no") == step.found[ABLE]
    assert step.change
    assert (False, "no") == (step.change.success, step.change.error)


async def test_without_a_server_nothing_is_decided():
    (request, _), *_ = a_look(1)
    async with a_scaler(Seeing(), recalled("u"), (request, answer("<html>"))) as (scaler, _):
        with pytest.raises(Unreachable):
            await scaler.step()


async def test_an_autoscaler_whose_past_is_lost_shrinks_nothing_before_it_has_seen_enough():
    sight = Seeing(0.0)
    looks = [exchange for _ in range(2) for exchange in a_look(4, *pods(4))]
    exchanges = (recalled("u"), *looks, kept("u"), kept("u"))
    async with a_scaler(sight, *exchanges, status=Status(actual_scale=4)) as (scaler, _):
        first = await scaler.step()
        sight.now_s += 2.0
        second = await scaler.step()

    assert [4, 4] == [first.desired, second.desired]


async def test_a_state_is_kept_now_and_then_and_at_the_end_and_taken_up_by_the_next():
    sight = Seeing(0.0)
    async with a_scaler(sight, recalled("u"), *(a_look(1, *pods(1)) * 2), kept("u"), kept("u")) as (scaler, double):
        await scaler.step()
        sight.now_s += KEEP_S
        await scaler.step()
        await scaler.end()
    assert [] == double.unsaid
    state = msgspec.json.decode(double.asked[-1].body)["data"]["state.json"]

    again = recalled("u", msgspec.json.decode(state))
    async with a_scaler(sight, again, *a_look(1, *pods(1)), kept("u"), status=Status(actual_scale=1)) as (next_one, _):
        step = await next_one.step()

    assert "kept, because only" not in step.found[ACTIVE].message


async def test_a_state_of_something_else_is_not_used():
    async with a_scaler(Seeing(0.0), recalled("u", {"x": 1}), *a_look(4, *pods(4))) as (scaler, _):
        step = await scaler.step()

    assert 4 == step.desired


async def test_a_state_that_cannot_be_kept_stops_nothing():
    refused = answer('{"code": 403, "reason": "Forbidden", "message": "no"}', status=403)
    async with a_scaler(Seeing(2.0), recalled("u"), *a_look(2, *pods(2)), kept("u", refused), **BY_PLAN) as (scaler, _):
        await scaler.step()
        await scaler.end()


def test_bounds_of_a_schedule_may_empty_a_target_too():
    night = {"name": "night", "startTime": "00:00", "endTime": "23:59", "minReplicas": 0}
    asked = [read(an_autoscaler(**spec)) for spec in ({}, {"minReplicas": 0}, {"schedules": [night]})]

    assert [True, False, False] == [is_never_empty(spec) for spec in asked]
    bounds = scheduled(asked[2], 1_800_000_000.0)
    assert bounds
    assert ("night", 0, 8) == (bounds.active_schedule, bounds.effective_min_replicas, bounds.effective_max_replicas)
    assert scheduled(asked[0], 1_800_000_000.0) is None


async def test_requests_that_wait_wake_a_target_that_may_be_empty():
    wakes = MemoryWakes()
    looks = [*a_look(0), the_object(**MODEL), *a_look(0), scaled(1)]
    async with a_scaler(Seeing(0.0), recalled("u"), *looks, wakes=wakes, **BY_PLAN) as (scaler, double):
        assert not scaler.sleeps("m")
        idle = await scaler.step()
        assert ({"m"}, True, False) == (wakes.promises, scaler.sleeps("m"), scaler.sleeps("other"))
        await wakes.publish("m")
        woken = await scaler.step()

    assert [] == double.unsaid
    assert (0, 1) == (idle.desired, woken.desired)
    assert woken.change
    assert "woken by requests that wait" in woken.change.reason


async def test_a_wake_that_starts_a_cheaper_target_leaves_this_one_asleep():
    wakes, turns = MemoryWakes(), Turns()
    cheap = Target("apps/v1", "Deployment", "z", "default")
    turns.see(cheap, Sleeper("m", 0, 0, 1.0))
    await wakes.publish("m")
    own = the_object(**MODEL, **{"model.aibrix.ai/gpu_cost": "2.5"})
    async with a_scaler(Seeing(0.0), recalled("u"), *a_look(0), own, wakes=wakes, turns=turns, **BY_PLAN) as (one, _):
        step = await one.step()

        assert (0, {"m"}) == (step.desired, wakes.promises)
        assert turns.wakes(cheap, Seeing().now_s)


@pytest.mark.parametrize(
    "then",
    [pytest.param([(a_look(1)[0][0], MISSING)], id="gone"), pytest.param([*a_look(0), the_object()], id="emptied")],
)
async def test_a_target_that_serves_no_more_holds_back_no_wake_of_another(then: list[Exchange]):
    turns, other = Turns(), Target("apps/v1", "Deployment", "z", "default")
    looks, spec = [*a_look(1, *pods(1)), *then], BY_PLAN | {"minReplicas": 1}
    async with a_scaler(Seeing(1.0), recalled("u"), *looks, turns=turns, **spec) as (scaler, double):
        await scaler.step()
        turns.see(other, Sleeper("m", 0, 0, 1.0))
        assert not turns.wakes(other, Seeing().now_s)
        await scaler.step()

    assert [] == double.unsaid
    assert turns.wakes(other, Seeing().now_s)


async def test_a_wake_that_an_engine_refuses_again_and_again_is_one_change(tmp_path: Path):
    with own_engine() as engine, sidecar(f"http://{engine.address}", tmp_path / "log") as runtime:
        engine.models = Reply(body=b'{"data": [{"id": "m"}]}')
        engine.answer = lambda asked: Reply(200 if asked.method == "GET" else 404, b'{"is_sleeping": true}')

        async def is_up() -> bool:
            return await runtime.status("/healthz") == 200

        await until(is_up)
        pod = a_pod("p0", ready=False, **MODEL)
        port = {"containerPort": int(runtime.url.rpartition(":")[2])}
        pod |= {"spec": {"containers": [{"name": "forebay-runtime", "ports": [port]}]}}
        pod["status"]["podIP"] = "127.0.0.1"
        keep = {"autoscaling.forebay.io/keep-asleep": "1"}
        looks = [*a_look(1, pod), *a_look(1, pod)]
        async with a_scaler(Seeing(1.0), recalled("u"), *looks, annotations=keep, **BY_PLAN) as (scaler, double):
            steps = [await scaler.step(), await scaler.step()]

    assert ([], [1, 1]) == (double.unsaid, [step.desired for step in steps])
    assert [(0, 1), None] == [step.change and (step.change.previous_scale, step.change.new_scale) for step in steps]


async def test_nothing_is_promised_for_a_target_that_is_never_empty_and_no_wake_of_a_ready_one_counts():
    wakes = MemoryWakes()
    await wakes.publish("m")
    looks = [*a_look(1, *pods(1))]
    spec = BY_PLAN | {"minReplicas": 1}
    async with a_scaler(Seeing(1.0), recalled("u"), *looks, wakes=wakes, **spec) as (scaler, _):
        step = await scaler.step()

    assert (set(), 1, False) == (wakes.promises, step.desired, scaler.sleeps("m"))


async def test_while_redis_is_away_decisions_go_on():
    wakes = MemoryWakes()
    wakes.away = True
    looks = [*a_look(0), the_object(**MODEL), scaled(3)]
    async with a_scaler(Seeing(3.0), recalled("u"), *looks, wakes=wakes, **BY_PLAN) as (scaler, double):
        await scaler.step()

    assert [] == double.unsaid
