"""Models that are asleep are woken: at once, again and again while requests wait, and when Redis is back."""

import asyncio
from collections import Counter
from collections.abc import Collection

import pytest

from gateway.admission.queue import AdmissionQueue
from gateway.admission.waking import SETTLE_S, Waking
from tests.support.empty_shop import Empty
from tests.support.pods import MODEL
from tests.support.shop import routed
from traffic.connection import RedisAwayError
from traffic.wakes import Wakes

STEP_S = 0.01


class Told(Wakes):
    """Remembers what it should publish; `away` like Redis."""

    def __init__(self) -> None:
        self.models: Counter[str] = Counter()
        self.away = False

    async def publish(self, model: str) -> None:
        if self.away:
            raise RedisAwayError("away")
        self.models[model] += 1

    async def promised(self, models: Collection[str]) -> frozenset[str]:
        return frozenset({"base"} & set(models))


class Awake:
    """A queue whose wakes are remembered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.admission.waking.REPEAT_S", 10 * STEP_S)
        self.empty = Empty()
        self.told, asleep = Told(), asyncio.Event()
        self.bases: dict[str, str | None] = {MODEL: None}
        shop = self.empty.shop
        queue = AdmissionQueue(shop.fleet, shop.settings.routing, self, on_asleep=asleep.set)
        shop.queue = shop.admission._queue = queue
        self.waking = Waking(queue, asleep, self.told, lambda: self.bases)

    def set(self, at_s: float, callback: object) -> None:
        """Be a timer that never fires."""

    async def after(self, steps: int) -> int:
        """Return how often the model was woken by then."""
        await asyncio.sleep(steps * STEP_S)
        return self.told.models[MODEL]


@pytest.mark.interpreted("sets the queue of an admission")
async def test_a_burst_is_one_wake_at_once_repeated_while_it_waits(monkeypatch: pytest.MonkeyPatch):
    awake = Awake(monkeypatch)
    telling = asyncio.create_task(awake.waking.run())
    assert 0 == await awake.after(3)
    tasks = [await awake.empty.ask() for _ in range(20)]
    assert 1 == await awake.after(3)
    assert 2 <= await awake.after(15) <= 4

    awake.empty.pods("a")
    told = await awake.after(0)
    for task in tasks:
        routed(await task)
    assert told == await awake.after(15)

    awake.empty.pods()
    await awake.empty.ask()
    assert told + 1 == await awake.after(3)
    telling.cancel()


@pytest.mark.interpreted("sets the queue of an admission")
async def test_while_redis_is_away_requests_wait_and_the_wake_is_told_when_it_is_back(monkeypatch: pytest.MonkeyPatch):
    awake = Awake(monkeypatch)
    awake.told.away = True
    telling = asyncio.create_task(awake.waking.run())
    task = await awake.empty.ask()
    assert 0 == await awake.after(5)
    assert not task.done()

    awake.told.away = False

    assert 1 <= await awake.after(15)
    telling.cancel()


@pytest.mark.interpreted("sets the queue of an admission")
async def test_a_first_pod_is_used_a_moment_later_so_that_envoy_knows_it_too(monkeypatch: pytest.MonkeyPatch):
    awake = Awake(monkeypatch)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await awake.waking.settle()
    assert loop.time() - began_s < SETTLE_S / 2

    task = await awake.empty.ask()
    began_s = loop.time()
    await awake.waking.settle()

    assert loop.time() - began_s >= 0.99 * SETTLE_S
    awake.empty.pods("a")
    routed(await task)


@pytest.mark.interpreted("sets the queue of an admission")
async def test_the_base_model_of_an_adapter_is_woken_and_promised_in_its_place(monkeypatch: pytest.MonkeyPatch):
    awake = Awake(monkeypatch)
    awake.bases = {MODEL: "base", "base": "base", "other": None}
    tasks = [asyncio.create_task(work) for work in (awake.waking.run(), awake.waking.read())]
    await awake.empty.ask()

    assert 0 == await awake.after(3)
    assert {"base"} == awake.told.models.keys()
    assert {MODEL, "base"} == awake.empty.shop.queue.promised
    for task in tasks:
        task.cancel()
