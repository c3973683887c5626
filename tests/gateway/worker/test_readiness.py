"""The readiness of a worker, and its drain."""

import asyncio

from gateway.accounting.outcomes import ObservedEnd
from gateway.openai.usage import TokenUsage
from gateway.worker.readiness import Readiness
from tests.support.pods import a_description
from tests.support.shop import Shop


def test_a_worker_is_ready_once_a_pod_is_known():
    shop = Shop()
    assert (True, ()) == ((ready := Readiness(shop.fleet, shop.ledger))(), ready.reasons())
    shop.fleet.replace(a_description())
    assert (False, ("no pod is known",)) == (ready(), ready.reasons())
    assert () == ready.own_reasons()


def test_a_worker_whose_discovery_is_behind_is_ready_and_says_so():
    shop = Shop()
    readiness = Readiness(shop.fleet, shop.ledger, lambda: {"Pod": 12.4, "Node": 0.0})

    assert (True, ["Pod has not been followed for 12 s: the last fleet stays"]) == (readiness(), readiness.notes())


async def test_pods_that_are_gone_and_still_answer_do_not_make_a_worker_ready():
    shop = Shop()
    await shop.admit()
    shop.fleet.replace(a_description())
    assert ("no pod is known",) == Readiness(shop.fleet, shop.ledger).reasons()


async def test_a_draining_worker_is_not_ready_and_waits_for_running_requests():
    shop = Shop()
    readiness = Readiness(shop.fleet, shop.ledger)
    await shop.admit()

    draining = asyncio.create_task(readiness.drain(5))
    await asyncio.sleep(0)
    assert ("draining",) == readiness.reasons() == readiness.own_reasons()
    shop.ledger.ended(shop.last_id, ObservedEnd(200, TokenUsage(1, 1)))

    assert await draining


async def test_a_drain_goes_on_while_requests_still_come():
    shop = Shop()
    readiness = Readiness(shop.fleet, shop.ledger)
    draining = asyncio.create_task(readiness.drain(4))
    for _ in range(15):
        await asyncio.sleep(0.1)
        shop.ledger.begin()
        shop.ledger.decided()
        assert not draining.done()

    assert await draining


async def test_requests_that_outlast_the_drain_limit_are_left():
    shop = Shop()
    await shop.admit()
    assert not await Readiness(shop.fleet, shop.ledger).drain(0.01)


async def test_the_endpoints_page_shows_state_and_requests_in_flight():
    shop = Shop()
    await shop.admit()
    page = Readiness(shop.fleet, shop.ledger).endpoints()
    assert [0, 0, 1] == sorted(int(str(pod["in_flight"])) for pod in page)
    assert {"pod", "address", "models", "state", "in_flight"} == set(page[0])
