"""Requests for a model without a ready pod: they wait for the first one where somebody starts it."""

import asyncio

import orjson
import pytest

from gateway.accounting import ledger
from gateway.admission.queue import LOOK_S
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.extproc.events import Refused, Routed
from ratelimit.kinds import TPM
from ratelimit.limits import User
from ratelimit.memory import MemoryLimiter
from tests.support.empty_shop import WAKES, Empty
from tests.support.pods import MODEL, an_endpoint
from tests.support.polling import until
from tests.support.shop import CHAT, refused, routed
from tests.support.waiting import turns


@pytest.mark.parametrize("slo_ttft_s", [0.0, 4.0], ids=["nothing promised", "a promise"])
async def test_a_request_waits_charged_for_the_first_pod(slo_ttft_s: float):
    empty = Empty(slo_ttft_s=slo_ttft_s)
    task = await empty.ask(user="lgy")
    assert not task.done()
    assert 1 == await empty.used()
    assert ({MODEL: 1}, {MODEL}) == (empty.shop.queue.waiting(), empty.shop.queue.asleep())

    empty.pass_time(100.0)
    empty.pods("a")

    shown = routed(await task).response_headers
    assert shown["x-forebay-decision"].endswith("waited 100000 ms")
    assert ({MODEL: 0}, frozenset()) == (empty.shop.queue.waiting(), empty.shop.queue.asleep())


async def test_only_what_waited_for_the_first_pod_is_sent_by_its_address():
    empty = Empty()
    task = await empty.ask()
    empty.pods("a")

    waited, later = routed(await task).metadata["envoy.lb"], routed(await empty.shop.admit()).metadata["envoy.lb"]

    assert waited == later | {"first-pod": later["x-gateway-destination-endpoint"]}


async def test_a_pod_that_is_there_and_not_ready_is_waited_for():
    empty = Empty()
    empty.pods("a", ready=False)
    task = await empty.ask()
    assert not task.done()
    empty.pods("a", draining=True)
    assert not task.done()

    empty.pods("a")

    routed(await task)


async def test_nothing_waits_where_nobody_starts_a_pod():
    empty = Empty(ModelPolicy())

    assert (503, "no_ready_pod", None) == refused(await empty.shop.admit(user="lgy"))
    assert 0 == await empty.used()

    empty.shop.queue.promised = frozenset({MODEL})
    assert not (await empty.ask(user="lgy")).done()


async def test_nothing_waits_within_a_subset_of_pods_that_there_were():
    empty = Empty()

    assert (503, "no_ready_pod", None) == refused(await empty.shop.admit(subset=frozenset({"10.0.0.9:8000"})))


async def test_an_unknown_model_is_still_unknown():
    empty = Empty()

    assert 404 == refused(await empty.shop.admit({"model": "other"}))[0]
    assert frozenset() == empty.shop.queue.asleep()


async def test_beyond_the_bound_a_request_is_refused_at_once_with_retry_after_and_charged_nothing():
    empty = Empty(most_waiting=2)
    first = [await empty.ask() for _ in range(2)]

    outcome = await empty.shop.admit(user="lgy")

    assert (503, "no_ready_pod", None) == refused(outcome)
    assert isinstance(outcome, Refused)
    assert outcome.error.retry_after_s
    assert 0 == await empty.used()
    assert [False, False] == [task.done() for task in first]
    empty.pods("a")
    for task in first:
        routed(await task)


async def test_after_the_longest_wait_a_request_is_refused_and_gets_its_charge_back():
    empty = Empty(longest_wait_s=30.0)
    task = await empty.ask(user="lgy")
    empty.pass_time(29.9)
    assert not task.done()

    empty.pass_time(0.2)

    outcome = await task
    assert (503, "no_ready_pod", None) == refused(outcome)
    assert 0 == await empty.used()
    assert ({MODEL: 0}, frozenset()) == (empty.shop.queue.waiting(), empty.shop.queue.asleep())


async def test_a_hard_reservation_counts_as_long_as_its_request_waits_and_is_given_back_whole(monkeypatch):
    empty = Empty()
    limiter, users = empty.shop.limiter, empty.shop.users
    assert isinstance(limiter, MemoryLimiter)
    users["lgy"] = User("lgy", None, 400, reserve="maximum")
    command = empty.shop.command(user="lgy")._replace(body=orjson.dumps(CHAT))
    task = asyncio.create_task(empty.shop.admission.decide(command))
    await turns(10)
    monkeypatch.setattr(ledger, "RENEW_S", 0.001)
    renewing = asyncio.create_task(empty.shop.ledger.renew())

    for _ in range(3):
        empty.pass_time(50.0)
        await until(lambda: [int(empty.shop.now_s)] == list(limiter._moved.values()))
        assert 400 == await tokens_used(limiter)
    empty.shop.admission.abandon(command)

    assert isinstance(await task, Refused)
    assert (0, {}) == (await tokens_used(limiter), limiter._moved)
    renewing.cancel()


async def tokens_used(limiter: MemoryLimiter) -> int:
    usage = await limiter.usage("lgy")
    assert usage is not None
    return usage.quotas[TPM].used


async def test_with_no_time_to_wait_nothing_waits():
    assert 503 == refused(await Empty(longest_wait_s=0.0).shop.admit())[0]


async def test_the_place_of_a_client_that_leaves_is_free():
    empty = Empty(most_waiting=1)
    command = empty.shop.command(user="lgy")
    task = asyncio.create_task(empty.shop.admission.decide(command))
    await turns(10)

    empty.shop.admission.abandon(command)

    assert isinstance(await task, Refused)
    assert 0 == await empty.used()
    assert frozenset() == empty.shop.queue.asleep()
    assert not (await empty.ask()).done()


async def test_requests_of_a_user_go_in_the_order_of_arrival_and_users_take_turns():
    empty = Empty()
    order: list[str] = []
    for name, user in (("u1", "u"), ("u2", "u"), ("u3", "u"), ("v1", "v"), ("v2", "v")):
        task = await empty.ask(user=user)
        task.add_done_callback(lambda _, name=name: order.append(name))  # type: ignore[misc]  # mypy knows no defaults
        empty.pass_time(0.1)

    empty.pods("a")
    await turns(20)

    assert ["u1", "v1", "u2", "v2", "u3"] == order


async def test_a_request_that_no_pod_fits_is_refused_when_there_are_pods():
    empty = Empty()
    task = await empty.ask(external_filter="gpu=L20")
    other = await empty.ask()
    assert not task.done()

    empty.pods("a", labels={"gpu": "V100"})

    assert 503 == refused(await task)[0]
    routed(await other)


async def test_with_a_promise_the_first_pod_is_not_flooded():
    empty = Empty(slo_ttft_s=4.0)
    long = {"max_tokens": 10, "messages": [{"role": "user", "content": "word " * 4000}]}
    tasks = [await empty.ask(long) for _ in range(30)]
    empty.shop.fleet.replace(FleetDescription({MODEL: WAKES}, (an_endpoint("a"),)), empty.shop.now_s)
    for pod in empty.shop.fleet.pods():
        pod.speed.fixed_s, pod.speed.token_s, pod.speed.known = 0.01, 1e-4, True
    empty.pass_time(0.0)
    await turns(10)
    sent = sum(task.done() for task in tasks)
    assert 0 < sent < 30
    assert frozenset() == empty.shop.queue.asleep()  # it waits for room now, and nobody has to be woken

    while not all(task.done() for task in tasks):
        empty.pass_time(LOOK_S)
        await turns(10)

    assert {Routed} == {type(await task) for task in tasks}
