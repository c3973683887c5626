"""The end of a request: seen once, from whichever source comes first."""

import asyncio
import socket
import time
from collections.abc import Mapping

import pytest
import uvloop

from gateway.accounting.outcomes import ObservedEnd
from gateway.extproc.events import Routed
from gateway.openai.usage import TokenUsage
from ratelimit.kinds import RPM, TPM, Amounts
from ratelimit.limits import Admitted, Charge, Reservation, User, Verdict
from routing.pods.engine_totals import FinishedTotals
from tests.support.shop import AwayLimiter, Shop
from tests.support.standstill import stand_still

GRACE_S = 0.2
IN_FLIGHT = 'forebay_requests_in_flight{model="m"}'


async def opened(shop: Shop, user: str = "lgy") -> str:
    assert isinstance(await shop.admit(user=user), Routed)
    return shop.last_id


def a_shop() -> Shop:
    return Shop(users={"lgy": User("lgy", 100, 10_000)})


async def tokens_of(shop: Shop) -> int:
    for _ in range(3):  # the settlement is a task of its own, a turn later
        await asyncio.sleep(0)
    assert shop.limiter is not None
    usage = await shop.limiter.usage("lgy")
    assert usage is not None
    return usage.quotas[TPM].used


async def test_an_open_request_is_in_flight_and_holds_a_reservation():
    shop = a_shop()
    await opened(shop)
    assert (1, 1, 1) == (shop.sample(IN_FLIGHT), shop.sample("forebay_reservations_open"), len(shop.ledger))


async def test_a_closed_stream_releases_at_once_and_usage_settles_later():
    shop = a_shop()
    exchange = await opened(shop)

    shop.ledger.stream_closed(exchange)
    assert (0, 1) == (shop.sample(IN_FLIGHT), shop.sample("forebay_reservations_open"))
    shop.ledger.ended(exchange, ObservedEnd(200, TokenUsage(7, 9)))

    assert 16 == await tokens_of(shop)
    assert (0, 0, 0) == (shop.sample(IN_FLIGHT), shop.sample("forebay_reservations_open"), len(shop.ledger))


async def test_usage_that_comes_before_the_stream_closes_settles_once():
    shop = a_shop()
    exchange = await opened(shop)
    shop.ledger.ended(exchange, ObservedEnd(200, TokenUsage(7, 9)))
    shop.ledger.stream_closed(exchange)
    shop.ledger.ended(exchange, ObservedEnd(200, TokenUsage(70, 90)))
    assert 16 == await tokens_of(shop)
    assert 1 == shop.sample('forebay_requests_total{model="m",outcome="ok",strategy="forebay"}')


async def test_an_entry_that_never_comes_leaves_the_estimate_after_the_grace():
    shop = a_shop()
    exchange = await opened(shop)
    reserved = await tokens_of(shop)
    shop.ledger.stream_closed(exchange)

    shop.now_s += shop.settings.limits.settle_grace_s - 0.1
    shop.ledger.expire()
    assert 1 == len(shop.ledger)
    shop.now_s += 0.2
    shop.ledger.expire()

    assert (reserved, 0) == (await tokens_of(shop), len(shop.ledger))


def test_an_entry_that_came_while_the_worker_stood_still_is_read_before_its_time_is_up():
    async def stand() -> int:
        shop = a_shop()
        shop.ledger._clock, shop.ledger._grace_s = time.monotonic, GRACE_S
        exchange = await opened(shop)
        near, far = socket.socketpair()
        with near, far:
            loop = asyncio.get_running_loop()
            loop.add_reader(near, lambda: shop.ledger.ended(exchange, ObservedEnd(200, TokenUsage(7, 9))))
            running = asyncio.create_task(shop.ledger.run())
            shop.ledger.stream_closed(exchange)
            await asyncio.sleep(0)
            await stand_still(3 * GRACE_S, lambda: far.send(b"an entry"))
            await asyncio.sleep(GRACE_S)
            loop.remove_reader(near)
            running.cancel()
        return await tokens_of(shop)

    assert 16 == uvloop.run(stand())


async def test_an_upstream_error_refunds_the_tokens_and_keeps_the_request():
    shop = a_shop()
    shop.ledger.ended(await opened(shop), ObservedEnd(500))
    assert 0 == await tokens_of(shop)
    assert shop.limiter is not None
    usage = await shop.limiter.usage("lgy")
    assert usage is not None
    assert 1 == usage.quotas[RPM].used
    assert 0 < shop.sample('forebay_tokens_total{kind="refunded",model="m"}')


async def test_real_prompt_sizes_teach_the_next_estimate():
    shop = a_shop()
    for _ in range(200):
        shop.ledger.ended(await opened(shop, user=""), ObservedEnd(200, TokenUsage(60, 1)))
    exchange = await opened(shop)
    assert shop.ledger._open[exchange].estimate.prompt_tokens > 20


async def test_draining_waits_for_the_last_settlement():
    shop = a_shop()
    exchange = await opened(shop)
    assert not await shop.ledger.drain(0.01)
    shop.ledger.ended(exchange, ObservedEnd(200, TokenUsage(7, 9)))
    assert await shop.ledger.drain(5)
    assert 16 == await tokens_of(shop)


async def test_a_settlement_that_cannot_be_made_is_counted_and_leaves_nothing_open():
    shop = Shop(users={"lgy": User("lgy", 100, 10_000)})
    exchange = await opened(shop)
    shop.ledger._limiter = AwayLimiter()
    shop.ledger.ended(exchange, ObservedEnd(200))
    assert await shop.ledger.drain(5)
    assert (1, 0) == (shop.sample('forebay_errors_total{where="settle"}'), shop.sample("forebay_reservations_open"))


async def test_an_unknown_exchange_changes_nothing():
    shop = a_shop()
    shop.ledger.ended("9-9", ObservedEnd(200))
    shop.ledger.stream_closed("9-9")
    assert 0 == len(shop.ledger)


@pytest.mark.interpreted("a method is replaced")
async def test_settlements_of_one_moment_are_one_call_with_the_same_sum(monkeypatch: pytest.MonkeyPatch):
    shop = a_shop()
    exchanges = [await opened(shop) for _ in range(5)]
    calls = []
    assert shop.limiter is not None
    settle = shop.limiter.settle

    async def counted(reservation: Reservation, used: Amounts, changes: Mapping[str, Amounts] | None = None) -> None:
        assert changes is not None
        assert exchanges == list(changes)
        calls.append(used)
        await settle(reservation, used, changes)

    monkeypatch.setattr(shop.limiter, "settle", counted)
    for exchange in exchanges:
        shop.ledger.ended(exchange, ObservedEnd(200, TokenUsage(7, 9)))

    assert await shop.ledger.drain(5)
    assert [(5, 80)] == [(used.requests, used.tokens) for used in calls]
    assert 80 == await tokens_of(shop)
    assert 0 == shop.sample("forebay_reservations_open")


class HalfAwayLimiter(AwayLimiter):
    """A limiter of which every second reservation, the first too, is known here alone."""

    def __init__(self) -> None:
        self.reserved = 0
        self.settled: list[tuple[Reservation, dict[str, Amounts]]] = []

    async def reserve(self, charge: Charge) -> Verdict:
        self.reserved += 1
        is_shared = self.reserved % 2 == 0
        return Admitted(Reservation(charge.user, 1, charge.amounts, is_shared=is_shared), {})

    async def settle(
        self, reservation: Reservation, used: Amounts, changes: Mapping[str, Amounts] | None = None
    ) -> None:
        self.settled.append((reservation, dict(changes or {})))


async def test_what_another_may_settle_too_is_not_settled_in_one_with_what_is_known_here_alone():
    limiter = HalfAwayLimiter()
    shop = Shop(limiter=limiter)
    first, second, third = [await opened(shop) for _ in range(3)]

    for exchange in (first, second, third):
        shop.ledger.ended(exchange, ObservedEnd(200, TokenUsage(7, 9)))

    assert await shop.ledger.drain(5)
    assert [(False, {first, third}), (True, {second})] == [
        (reservation.is_shared, set(changes)) for reservation, changes in limiter.settled
    ]


async def test_the_time_of_an_answer_is_envoys_or_where_it_passed_through_us_our_own():
    by_envoy, by_us = a_shop(), a_shop()
    for shop, end in (
        (by_envoy, ObservedEnd(200, TokenUsage(7, 9), duration_s=3.0)),
        (by_us, ObservedEnd(200, TokenUsage(7, 9))),
    ):
        exchange = await opened(shop)
        shop.now_s += 2.0
        shop.ledger.ended(exchange, end)

    assert [{3.0 / 25}, {2.0 / 25}] == [
        {pod.latency_per_token_s for pod in shop.fleet.pods() if pod.latency_per_token_s is not None}
        for shop in (by_envoy, by_us)
    ]


async def test_a_pod_whose_request_another_one_answered_has_failed():
    shop = a_shop()
    exchange = await opened(shop)
    chosen, fallback, _ = shop.fleet.decisions.page()[0]["chosen"], *shop.fleet.decisions.page()[0]["fallbacks"]
    (address,) = (pod.endpoint.address for pod in shop.fleet.pods() if pod.endpoint.id == fallback)

    shop.ledger.ended(exchange, ObservedEnd(200, TokenUsage(7, 9), upstream=address))

    assert {chosen: 1} == {pod.endpoint.id: pod.failures for pod in shop.fleet.pods() if pod.failures}


async def test_streams_without_usage_are_charged_what_engines_count_and_refused_requests_are_not_counted():
    shop = Shop(users={"lgy": User("lgy", None, None)})
    endpoint = next(shop.fleet.pods()).endpoint

    async def charge_of(end: ObservedEnd) -> int:
        before = await tokens_of(shop)
        assert isinstance(await shop.admit({"stream": True}, frozenset({endpoint.address}), user="lgy"), Routed)
        shop.ledger.ended(shop.last_id, end)
        return await tokens_of(shop) - before

    for finished in range(30):
        totals = FinishedTotals(finished, 40 * finished, 20 * finished, is_whole=True)
        shop.calibration.counted(endpoint.id, totals, shop.now_s)
        shop.now_s += 1
        assert 0 == await charge_of(ObservedEnd(400))
        charged = await charge_of(ObservedEnd(200, response_bytes=9000))

    assert 60 == pytest.approx(charged, abs=2)
