"""Admission under overload: charged while it waits, given back when it waited in vain."""

import asyncio

import pytest

from gateway.config.settings import RoutingSettings, Settings
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.extproc.events import Refused, Routed
from ratelimit.kinds import RPM
from ratelimit.limits import User
from tests.support.pods import MODEL
from tests.support.shop import Shop, refused, routed

BUSY = Settings(routing=RoutingSettings(slo_ttft_s=4.0))


def a_busy_shop(**fields: object) -> Shop:
    """All three pods are full of prompts for 2.5 s: one second more than a prompt may wait there."""
    shop = Shop(BUSY, users={"lgy": User("lgy", 3, 10_000)}, **fields)  # type: ignore[arg-type]  # of Shop's
    for pod in shop.fleet.pods():
        pod.speed.known = True
        pod.prefill_done_at_s = shop.now_s + 2.5
    return shop


async def waiting(shop: Shop, **headers: str) -> asyncio.Task[Refused | Routed | object]:
    task: asyncio.Task[Refused | Routed | object] = asyncio.create_task(shop.admit(**headers))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    return task


def pass_time(shop: Shop, seconds: float) -> None:
    shop.now_s += seconds
    shop.queue.advance(shop.now_s)


async def remaining(shop: Shop) -> int:
    assert shop.limiter is not None
    usage = await shop.limiter.usage("lgy")
    assert usage is not None
    assert usage.quotas[RPM].limit is not None
    return usage.quotas[RPM].remaining


async def test_a_request_waits_charged_and_says_how_long_it_did():
    shop = a_busy_shop()
    task = await waiting(shop, user="lgy")
    assert 2 == await remaining(shop)
    assert {MODEL: 1} == shop.queue.waiting()

    pass_time(shop, 1.0)

    shown = routed(await task).response_headers
    assert shown["x-forebay-decision"].endswith("waited 1000 ms")
    assert "2" == shown["x-ratelimit-remaining-requests"]
    shop.ledger.stream_closed(shop.last_id)
    assert 1 == shop.sample("forebay_wait_seconds_count")


async def test_who_waited_in_vain_is_refused_with_a_true_retry_after_and_gets_the_charge_back():
    shop = a_busy_shop()
    task = await waiting(shop, user="lgy")
    for pod in shop.fleet.pods():
        pod.prefill_done_at_s += 10.0

    pass_time(shop, 2.2)

    outcome = await task
    assert (429, "overloaded", None) == refused(outcome)
    assert isinstance(outcome, Refused)
    assert pytest.approx(8.8) == outcome.error.retry_after_s
    assert 3 == await remaining(shop)
    assert 0 == shop.sample("forebay_reservations_open")
    assert [0, 0, 0] == [pod.in_flight for pod in shop.fleet.pods()]


async def test_nobody_waits_who_may_not_send():
    shop = a_busy_shop()
    shop.users["lgy"] = User("lgy", 0, 10_000)

    assert (429, "rpm", None) == refused(await shop.admit(user="lgy"))
    assert {MODEL: 0} == shop.queue.waiting()


async def test_an_anonymous_request_waits_like_others():
    shop = a_busy_shop()
    task = await waiting(shop)
    pass_time(shop, 1.0)

    assert "waited" in routed(await task).response_headers["x-forebay-decision"]


async def test_a_client_that_leaves_while_it_waits_is_not_sent_and_not_charged():
    shop = a_busy_shop()
    command = shop.command(user="lgy")
    task = asyncio.create_task(shop.admission.decide(command))
    for _ in range(10):
        await asyncio.sleep(0)
    shop.admission.abandon(command)

    assert (499, "client_gone", None) == refused(await task)
    assert 3 == await remaining(shop)
    pass_time(shop, 5.0)
    assert [0, 0, 0] == [pod.in_flight for pod in shop.fleet.pods()]


@pytest.mark.interpreted("a method is replaced")
async def test_what_the_limiter_refuses_after_its_turn_came_is_taken_back():
    shop = a_busy_shop()
    limiter, asked, answer = shop.limiter, asyncio.Event(), asyncio.Event()
    assert limiter is not None
    reserve = limiter.reserve

    async def slowly(charge: object) -> object:
        asked.set()
        await answer.wait()
        return await reserve(charge)  # type: ignore[arg-type]  # what it was given

    shop.users["lgy"] = User("lgy", 0, 10_000)
    limiter.reserve = slowly  # type: ignore[method-assign,assignment]  # Redis takes its time
    task = asyncio.create_task(shop.admit(user="lgy"))
    await asked.wait()
    pass_time(shop, 1.0)
    assert 1 == sum(pod.in_flight for pod in shop.fleet.pods())
    answer.set()

    assert (429, "rpm", None) == refused(await task)
    assert [0, 0, 0] == [pod.in_flight for pod in shop.fleet.pods()]
    assert [0, 0, 0] == [pod.cache.held for pod in shop.fleet.pods()]


@pytest.mark.interpreted("a method is replaced")
async def test_nothing_is_given_back_to_nobody(monkeypatch: pytest.MonkeyPatch):
    shop = a_busy_shop()
    endpoints = tuple(pod.endpoint for pod in shop.fleet.pods())
    shop.fleet.replace(FleetDescription({MODEL: ModelPolicy(rps=5)}, endpoints))
    settled: list[object] = []
    monkeypatch.setattr(shop.limiter, "settle", settled.append)
    task = await waiting(shop)
    for pod in shop.fleet.pods():
        pod.prefill_done_at_s += 10.0

    pass_time(shop, 3.5)

    assert (429, "overloaded", None) == refused(await task)
    assert [] == settled


async def test_objectives_decide_who_waits_and_a_fairness_id_who_takes_turns():
    shop = a_busy_shop()
    endpoints = tuple(pod.endpoint for pod in shop.fleet.pods())
    shop.fleet.replace(FleetDescription({MODEL: ModelPolicy()}, endpoints, {"urgent": 1, "batch": -1}))
    sent: list[str] = []

    for name in ("batch", "unknown", "urgent"):
        headers = {"x_gateway_inference_objective": name, "x_gateway_inference_fairness_id": "team"}
        task = await waiting(shop, **headers)
        task.add_done_callback(lambda _done, name=name: sent.append(name))  # type: ignore[misc]  # its name is bound
    queued = shop.queue.page()[MODEL]["users"]
    for pod in shop.fleet.pods():  # now they take one after the other
        pod.prefill_done_at_s = 0.0
    pass_time(shop, 0.1)
    for _ in range(10):
        await asyncio.sleep(0)

    assert ["urgent", "unknown", "batch"] == sent
    assert isinstance(queued, dict)
    assert {"1,fairness-id, team", "fairness-id, team", "-1,fairness-id, team"} == queued.keys()
