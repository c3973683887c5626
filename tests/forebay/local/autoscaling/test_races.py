"""A thousand bursts at random moments of 0 -> 1 -> 0, in virtual time: nothing is lost, cut, late or woken twice.

Real are admission, queue, wakes' pace, reading of the models file, decisions, and the life of engines; doubles are the
processes and Redis.
"""

import asyncio
import contextlib
import os
import random
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from autoscaling.observation import Observation, PodReading
from forebay.cli.autoscale_option import Bounds, spec_of
from forebay.local import fleet as local
from forebay.local.autoscaling.choice import Autoscale
from forebay.local.autoscaling.scaler import AutoscaledFleet
from forebay.local.engines import MODEL
from forebay.local.fleet import Engine
from forebay.local.ports import Ports
from forebay.local.supervision.process import ProcessSpec
from forebay.local.supervision.supervisor import Supervisor
from gateway.admission.pending import LoopTimer
from gateway.admission.queue import AdmissionQueue
from gateway.admission.waking import Waking
from gateway.config.loading import load_models
from gateway.discovery.static import ModelsFile
from gateway.envoy.names import DESTINATION
from gateway.extproc.events import Routed
from routing.table import STRATEGIES
from tests.support.memory_wakes import MemoryWakes
from tests.support.shop import Shop
from tests.support.virtual_time import in_virtual_time

RACES = int(os.environ.get("FOREBAY_RACES", "1000"))
IDLE_S = 6.0
"""An engine goes when it had nothing to do for so long."""
STRATEGY = f"KPA:metric=running,target=1000,stable-window={IDLE_S:g}s,panic-window={IDLE_S:g}s,scale-down-delay=0s"
SPARE_S = 1.0
"""An answer begins so long after the start-up time at most."""


def now_s() -> float:
    return asyncio.get_running_loop().time()


class Machine(Supervisor):
    """Processes that are there at once, and the requests that they have."""

    def __init__(self) -> None:
        super().__init__(lambda _line: None)
        self.running: dict[str, int] = {}  # by address

    async def start(self, *specs: ProcessSpec) -> None:
        self.running |= {spec.address: 0 for spec in specs}

    async def end(self, spec: ProcessSpec) -> None:
        assert 0 == self.running.pop(spec.address), "an answer is cut"

    async def is_busy(self, address: str) -> bool:
        return self.running[address] > 0

    async def answer(self, address: str, seconds: float) -> None:
        """Be sent a request: it must be there, and stay until it has answered."""
        await asyncio.sleep(random.uniform(0.0, 0.05))  # on its way
        self.running[address] += 1  # a KeyError is a request that is lost
        await asyncio.sleep(seconds)
        self.running[address] -= 1


class World:
    """Gateway, engines and autoscaler, joined as `forebay up --autoscale` joins them."""

    def __init__(self, directory: Path, ports: Ports, startup_s: float) -> None:
        self.shop = TimedShop(pods="")
        self.wakes, self.machine, self.lines = MemoryWakes(), Machine(), list[str]()
        asleep = asyncio.Event()
        shop = self.shop
        queue = AdmissionQueue(shop.fleet, shop.settings.routing, LoopTimer(now_s), on_asleep=asleep.set)
        shop.queue = shop.admission._queue = shop.ledger._queue = queue
        self.waking = Waking(queue, asleep, self.wakes, dict)
        scale = Autoscale(spec_of(STRATEGY, Bounds(0, 2, 2.0, 0.1)), startup_s)
        self.fleet = AutoscaledFleet(scale, directory, ports, self.machine, self.lines.append, gpu="")
        self.startup_s = startup_s
        self.late_s: list[float] = []

    async def observe(self, at_s: float, wanted: Sequence[Engine], draining: int) -> Observation:
        """Be what the autoscaler sees; a page takes a moment."""
        await asyncio.sleep(0.01)
        serving = [engine for engine in wanted if engine.is_serving]
        return Observation(
            now_s=at_s,
            ready=len(serving),
            starting=len(wanted) - len(serving),
            draining=draining,
            pods=tuple(PodReading(one.spec.name, running=self.machine.running[one.spec.address]) for one in serving),
            wakes=bool(await self.wakes.waiting({MODEL})),
        )

    async def follow_models(self) -> None:
        load = partial(load_models, environ={}, strategies=STRATEGIES)
        async for description in ModelsFile(self.fleet.models_file, load, lambda _reload: None).watch():
            await self.waking.settle()
            self.shop.fleet.replace(description, now_s())
            self.shop.queue.advance(now_s())

    async def ask(self, seconds: float) -> None:
        began_s = now_s()
        outcome = await self.shop.admit({"model": MODEL})
        assert isinstance(outcome, Routed), outcome
        self.late_s.append(now_s() - began_s - self.startup_s)
        await self.machine.answer(outcome.request_headers[DESTINATION].partition(",")[0], seconds)
        self.shop.ledger.stream_closed(outcome.exchange_id)

    def woken(self) -> int:
        return sum("0 -> 1 replicas: woken" in line for line in self.lines)


class TimedShop(Shop):
    """A shop by the loop's clock."""

    def clock(self) -> float:
        return now_s()


async def races(directory: Path, seed: int, count: int) -> None:
    rng = random.Random(seed)
    with contextlib.closing(Ports()) as ports:
        world = World(directory, ports, rng.choice([0.0, 1.0, 7.0, 30.0]))
        local._is_busy = world.machine.is_busy  # type: ignore[assignment]  # the test's fixture puts it back
        async with world.fleet.running():
            work = (
                world.follow_models(),
                world.waking.run(),
                world.fleet.scale(world, now_s),
                world.fleet.listen(world.wakes),
            )
            tasks = [asyncio.create_task(each) for each in work]
            await asyncio.sleep(2.0)
            for _ in range(count):
                await a_burst(world, rng)
            # Both sides of the races were met: bursts that found an engine, and bursts that did not.
            assert count / 3 < world.woken() < 0.95 * count
            failed = [task for task in tasks if task.done()]
            assert [] == failed, [task.exception() for task in failed]
            for task in tasks:
                task.cancel()


async def a_burst(world: World, rng: random.Random) -> None:
    woken, told = world.woken(), len(world.wakes.told_s)
    began_s = now_s()
    size = rng.randint(1, 20)
    world.late_s.clear()
    async with asyncio.TaskGroup() as group:
        for _ in range(size):
            group.create_task(world.ask(rng.expovariate(1.0)))
            await asyncio.sleep(rng.choice([0.0, rng.uniform(0.0, 0.1)]))

    assert size == len(world.late_s)
    assert max(world.late_s) <= SPARE_S
    assert world.woken() - woken <= 1, world.lines[-10:]
    fresh = world.wakes.told_s[told:]
    assert (not fresh) == (world.woken() == woken), "a wake without a start, or a start without a wake"
    assert all(later - before >= 0.999 for before, later in pairwise(fresh))
    assert len(fresh) <= 2 + (now_s() - began_s)
    assert not any("unexpected" in line for line in world.lines), world.lines
    # The next one comes at any moment: before the engine is let go, while that is noticed, while it drains, later.
    await asyncio.sleep(max(0.0, rng.uniform(IDLE_S - 4.0, IDLE_S + 5.0)))


@pytest.fixture
def _own_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_is_busy", local._is_busy)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_own_engines")
@pytest.mark.parametrize("seed", range(10))
def test_no_request_is_lost_cut_or_late_and_a_burst_is_one_wake(tmp_path: Path, seed: int):
    random.seed(seed)
    (tmp_path / "logs").mkdir()
    in_virtual_time(races(tmp_path, seed, RACES // 10))
