"""A machine that plays any history on the limiter in memory and on two replicas on a real Redis: they must agree.

Whatever happens, never more than N are admitted in any window, and never more than N run at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ratelimit.kinds import USER, WINDOW_S, Amounts
from ratelimit.limits import Admitted, Charge, Quotas, Rates, Reservation, Usage, User, Verdict
from ratelimit.memory import MemoryLimiter
from ratelimit.redis.limiter import RedisLimiter
from ratelimit.redis.names import window_key
from ratelimit.redis.permits import LEASE_S
from tests.support.limiters import TIMEOUT_S, World, a_charge
from tests.support.redis import RedisServer, redis_server

T = TypeVar("T")
NAMES = st.sampled_from(["u", "v"])
MODELS = st.sampled_from(["m", "n"])
CHARGES = st.builds(
    a_charge,
    NAMES,
    st.sampled_from([0, 1, 5, 12, 25, 60]),
    MODELS,
    st.sampled_from([None, None, 1, 2]),
    st.sampled_from([None, 0, 8, 20]),
)
LIMIT = st.none() | st.integers(0, 5)
TOKEN_LIMIT = st.none() | st.integers(0, 40)
TICKS = st.sampled_from([1, 16, 48, 61, 63, 64, 65, 66, 67, 120, 64 * 5]) | st.integers(0, 64 * 130)
"""In 64ths of a second; the edges of a second and of a lease more often than others."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@dataclass(eq=False)
class Entry:
    """A request that was admitted."""

    at_s: float
    asked_s: float  # without correction for a clock that stepped back
    charge: Charge
    reservation: Reservation
    replica: RedisLimiter
    tokens: int
    running: bool = True
    settled: bool = False
    given_back: bool = False  # to the user; the model's second is too short to give back from


@dataclass
class Dead:
    """A replica that was killed: its permits go after a while."""

    replica: RedisLimiter
    fresh_until_s: float
    entries: list[Entry] = field(default_factory=list)


class Agreement(RuleBasedStateMachine):
    """Any history on both: the same answers, and no limit ever broken."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        server.flush()
        self.server = server
        self.world = World(server)
        self.runner = asyncio.Runner()
        self.memory = self.new_memory()
        self.replicas = [self.new_replica() for _ in range(2)]
        self.latest_s = self.world.clock.now_s
        self.lost_s = 0.0
        self.log: list[Entry] = []
        self.dead: list[Dead] = []

    def new_memory(self) -> MemoryLimiter:
        return self.world.memory()

    def new_replica(self) -> RedisLimiter:
        async def connect() -> RedisLimiter:
            return RedisLimiter(self.server.url, TIMEOUT_S, self.world.clock)

        return self.run(connect())

    def teardown(self) -> None:
        for replica in self.replicas:
            self.run(replica.aclose())
        self.runner.close()

    @initialize()
    def both_exist(self) -> None:
        self.world.put(User("u", rpm=4, tpm=40, concurrency=2, models={"m": Rates(2, 15)}))
        self.world.put(User("v", rpm=None, tpm=40))

    @rule(charges=st.lists(CHARGES, min_size=1, max_size=4), which=st.integers(0, 1))
    def reserve(self, charges: list[Charge], which: int) -> None:
        for charge in charges:
            self.reserve_one(charge, self.replicas[which])

    def reserve_one(self, charge: Charge, replica: RedisLimiter) -> None:
        assert self.answer(self.memory.check, charge) == self.answer(replica.check, charge)
        expected = self.answer(self.memory.reserve, charge)
        assert expected == self.answer(replica.reserve, charge)
        if isinstance(expected, Admitted):
            self.note(charge, expected.reservation, replica)

    def run(self, act: Awaitable[T]) -> T:
        """Without what `Runner.run` does each time for signals."""
        return self.runner.get_loop().run_until_complete(act)

    def answer(self, ask: Callable[[Charge], Awaitable[Verdict]], charge: Charge) -> Verdict:
        async def asked() -> Verdict:
            return await ask(charge)

        return self.run(asked())

    def note(self, charge: Charge, reservation: Reservation, replica: RedisLimiter) -> None:
        """Remember an admission and hold it against every limit."""
        clock_s = self.world.clock()
        latest_s = max((each.at_s for each in self.log if each.charge.user == charge.user), default=0.0)
        entry = Entry(max(clock_s, latest_s), clock_s, charge, reservation, replica, reservation.amounts.tokens)
        self.log.append(entry)
        user = self.world.users[charge.user]
        of_user = [each for each in self.log if each.charge.user == charge.user]
        recent = [each for each in of_user if each.at_s > entry.at_s - WINDOW_S and not each.given_back]
        in_limits(Rates(user.rpm, user.tpm), recent)
        if charge.model in user.models:
            in_limits(user.models[charge.model], [each for each in recent if each.reservation.model == charge.model])
        if charge.rps is not None:
            limited = (each for each in self.log if each.charge.model == charge.model and each.charge.rps is not None)
            assert sum(clock_s - 1 < each.asked_s <= clock_s for each in limited) <= charge.rps
        if user.concurrency is not None:
            assert sum(each.running and each.reservation.permits == (USER,) for each in of_user) <= user.concurrency

    @precondition(lambda self: any(not entry.settled for entry in self.log))
    @rule(data=st.data(), tokens=st.integers(0, 40), which=st.integers(0, 1))
    def settle(self, data: st.DataObject, tokens: int, which: int) -> None:
        self.settle_one(data, tokens, 0, which)

    @precondition(lambda self: any(not entry.settled for entry in self.log))
    @rule(data=st.data(), which=st.integers(0, 1))
    def refund(self, data: st.DataObject, which: int) -> None:
        entry = self.settle_one(data, 0, 1, which)
        if entry.running:
            self.release_one(entry)
        entry.given_back = True

    def settle_one(self, data: st.DataObject, tokens: int, requests: int, which: int) -> Entry:
        entry = data.draw(st.sampled_from([each for each in self.log if not each.settled]))
        entry.tokens, entry.settled = tokens, True
        for limiter in (self.memory, self.replicas[which]):
            self.run(limiter.settle(entry.reservation, Amounts(1 - requests, tokens)))
        return entry

    @precondition(lambda self: any(entry.running and entry.replica in self.replicas for entry in self.log))
    @rule(data=st.data())
    def a_request_ends(self, data: st.DataObject) -> None:
        running = [each for each in self.log if each.running and each.replica in self.replicas]
        self.release_one(data.draw(st.sampled_from(running)))

    def release_one(self, entry: Entry) -> None:
        if entry.replica not in self.replicas:
            return
        entry.running = False
        self.memory.release(entry.reservation)
        self.run(release(entry))

    @rule(which=st.integers(0, 1))
    def a_replica_is_killed(self, which: int) -> None:
        replica = self.replicas[which]
        self.renew()
        entries = [each for each in self.log if each.replica is replica and each.running]
        self.dead.append(Dead(replica, self.world.clock() + LEASE_S, entries))
        self.run(replica.aclose())
        self.replicas[which] = self.new_replica()

    @rule(ticks=TICKS)
    def time_passes(self, ticks: int) -> None:
        self.world.clock.now_s += ticks / 64
        self.latest_s = max(self.latest_s, self.world.clock.now_s)
        for dead in [each for each in self.dead if each.fresh_until_s < self.world.clock.now_s]:
            self.forget(dead)
        self.renew()

    def forget(self, dead: Dead) -> None:
        """Its permits are free; should the clock step back, they stay so."""
        self.dead.remove(dead)
        for entry in dead.entries:
            entry.running = False
            self.memory.release(entry.reservation)
        for name in ("u", "v"):
            self.server.own_client.hdel(f"{window_key(name)}:leases", dead.replica._replica)

    def renew(self) -> None:
        for replica in self.replicas:
            self.run(renew(replica))

    @rule(data=st.data())
    def something_rare_happens(self, data: st.DataObject) -> None:
        rare = [self.a_user_is_deleted, self.redis_forgets_its_scripts, self.redis_is_killed, self.redis_loses_all]
        data.draw(st.sampled_from([self.the_clock_steps_back, *rare, self.redis_forgets_its_scripts]))(data)

    def the_clock_steps_back(self, data: st.DataObject) -> None:
        ticks = data.draw(st.integers(1, 64 * 30))
        back_s = self.world.clock.now_s - ticks / 64
        self.world.clock.now_s = max(back_s, self.lost_s, self.latest_s - WINDOW_S)  # further back users are forgotten

    @rule(name=NAMES, rpm=LIMIT, tpm=TOKEN_LIMIT, concurrency=LIMIT, model=st.none() | st.tuples(LIMIT, TOKEN_LIMIT))
    def update(
        self, name: str, rpm: int | None, tpm: int | None, concurrency: int | None, model: tuple[int, int] | None
    ) -> None:
        self.world.put(User(name, rpm, tpm, concurrency, {"m": Rates(*model)} if model is not None else {}))

    def a_user_is_deleted(self, data: st.DataObject) -> None:
        self.world.remove(data.draw(NAMES))

    def redis_forgets_its_scripts(self, data: st.DataObject) -> None:
        self.server.own_client.script_flush()

    def redis_is_killed(self, data: st.DataObject) -> None:
        self.server.kill()
        self.run(connections_end())
        self.server.start()

    def redis_loses_all(self, data: st.DataObject) -> None:
        """It takes a second: within one, settlements of what was lost come off what came after (docs/limits.md)."""
        self.time_passes(64)
        self.lost_s = self.world.clock.now_s
        for dead in list(self.dead):
            self.forget(dead)
        self.server.flush()
        for user in self.world.users.values():
            self.world.put(user)
        for _ in range(2):  # the first renewal leaves new numbers as they are
            self.renew()
        self.memory = self.new_memory()
        running = [entry for entry in self.log if entry.running and entry.reservation.permits]
        for name in ("u", "v"):
            self.memory.seed_permits((name,), sum(entry.charge.user == name for entry in running))
        for entry in self.log:  # what was admitted before counts no more, only what runs still does
            entry.at_s = entry.asked_s = 0

    @invariant()
    def usage_agrees(self) -> None:
        for name in ("u", "v"):
            usages = (limiter.usage(name) for limiter in (self.memory, *self.replicas))
            expected, *told = map(counted, self.run(together(usages)))
            assert [expected, expected] == told


def counted(usage: Usage | None) -> Quotas | None:
    return None if usage is None else usage.quotas


async def connections_end() -> None:
    """Let replicas see that Redis has closed theirs."""
    for _ in range(3):
        await asyncio.sleep(0)


async def together(usages: Iterable[Awaitable[Usage | None]]) -> list[Usage | None]:
    return await asyncio.gather(*usages)


def in_limits(rates: Rates, recent: list[Entry]) -> None:
    assert rates.rpm is None or len(recent) <= rates.rpm
    assert rates.tpm is None or sum(each.tokens for each in recent) <= rates.tpm


async def release(entry: Entry) -> None:
    entry.replica.release(entry.reservation)
    await entry.replica.usage("u")  # queued behind it


async def renew(replica: RedisLimiter) -> None:
    replica.renew_permits()
    await replica.usage("u")


def test_memory_and_redis_agree_on_any_history_and_no_limit_is_ever_broken(server):
    run_state_machine_as_test(
        lambda: Agreement(server),
        settings=settings(
            max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
