"""States that are kept for who decides next."""

import json
from typing import Any

import pytest

from controllers.podautoscaler.memory import LONGEST, Memory
from kube.objects import Metadata
from tests.support.kubernetes.conversation import Answer, Exchange, Request, answer
from tests.support.kubernetes.scaled import MISSING, STATES, kept, recalled
from tests.support.kubernetes.script import talking

AUTOSCALER = Metadata(name="a", namespace="default", uid="u")


async def recall(exchange: Exchange) -> dict[str, Any] | None:
    async with talking([exchange]) as (client, _):
        return await Memory(client, "home").recall(AUTOSCALER)


async def test_what_was_kept_is_recalled():
    assert {"a": 1} == await recall(recalled("u", {"a": 1}))


@pytest.mark.parametrize("told", [MISSING, answer("{}"), answer('{"data": {"state.json": "[1"}}')])
async def test_nothing_and_nonsense_are_no_state(told: Answer):
    assert await recall((recalled("u")[0], told)) is None


async def test_a_state_is_written_with_the_name_of_its_autoscaler():
    async with talking([kept("u")]) as (client, double):
        await Memory(client, "home").keep(AUTOSCALER, {"a": 1})

    written = json.loads(double.asked[0].body)
    assert {"state.json": '{"a":1}', "autoscaler": "default/a"} == written["data"]
    assert "forebay" == written["metadata"]["labels"]["app.kubernetes.io/managed-by"]


async def test_a_state_that_is_too_long_is_not_written():
    async with talking([]) as (client, double):
        await Memory(client, "home").keep(AUTOSCALER, {"a": "x" * LONGEST})

    assert [] == double.asked


async def test_states_of_autoscalers_that_are_gone_are_deleted():
    label = "labelSelector=forebay.io%2Fremembers%3Dpodautoscaler"
    items = [{"metadata": {"name": f"podautoscaler-{uid}", "uid": uid}} for uid in ("u", "gone")]
    exchanges = [
        (Request("GET", f"{STATES}?{label}&limit=500"), answer(json.dumps({"metadata": {}, "items": items}))),
        (
            Request("DELETE", f"{STATES}/podautoscaler-gone", '{"preconditions":{"uid":"gone"}}', "application/json"),
            answer("{}"),
        ),
    ]
    async with talking(exchanges) as (client, double):
        await Memory(client, "home").forget_others({"u"})

    assert [] == double.unsaid
