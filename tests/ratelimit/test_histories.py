"""Any history of hard and expected requests, on memory and on a real Redis: they agree, and what is promised holds.

Time is passed explicitly.  Requests produce tokens while they run, gateways crash, Redis restarts with what it has
written, days and months end.  Under `maximum` never more tokens than TPM are produced in any 60 s, and budgets are
exceeded by no more than what `expected` allows: what a request used beyond its reservation.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
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

from ratelimit.kinds import NOTHING, WINDOW_S, Amounts
from ratelimit.limits import RENEW_S, Admitted, Bounds, Charge, Limiter, Policy, Reservation, Reserve, User
from ratelimit.memory import MemoryLimiter
from ratelimit.periods import PERIODS, period_end_s, period_name
from ratelimit.redis.limiter import RedisLimiter
from tests.support.limiters import TIMEOUT_S, World
from tests.support.redis import RedisServer, redis_server

T = TypeVar("T")
TOKEN_COST = 2.5
TPM = {("u",): 60, ("v",): 80, ("", "g"): 100, ("u", "k"): 40}
BUDGETS = {("u",): {"day": 300, "cost_month": 2000}, ("v",): {"month": 400}, ("", "g"): {"day": 500, "cost_day": 900}}
NAMES, KEYS = st.sampled_from(["u", "v"]), st.sampled_from(["", "k"])


@dataclass(eq=False)
class Request:
    """A request that was admitted."""

    id: str
    reservation: Reservation
    prompt: int
    produced: list[tuple[float, int]]
    renewed_s: float
    used: Amounts | None = None  # as it was settled

    @property
    def tokens(self) -> int:
        return sum(tokens for _, tokens in self.produced)

    def cost(self) -> int:
        return round((self.tokens - self.prompt) * TOKEN_COST + 0.49) + self.prompt

    def holders(self) -> list[tuple[str, ...]]:
        reservation = self.reservation
        named = [(reservation.user,), (reservation.user, reservation.key), ("", reservation.group)]
        return [holder for holder in named if holder[-1]]


class Histories(RuleBasedStateMachine):
    """The same on both limiters."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        server.flush()
        self.server, self.world, self.runner = server, World(server), asyncio.Runner()
        self.world.clock.now_s = 1_772_323_200.0 - 100  # shortly before March of 2026
        self.memory: MemoryLimiter = self.world.memory()
        self.redis = self.run(self.connect())
        self.limiters: list[Limiter] = [self.memory, self.redis]
        self.ids = map(str, itertools.count())
        self.requests: list[Request] = []
        self.running: list[Request] = []

    async def connect(self) -> RedisLimiter:
        return RedisLimiter(self.server.url, TIMEOUT_S, self.world.clock)

    def run(self, act: Awaitable[T]) -> T:
        return self.runner.get_loop().run_until_complete(act)

    def teardown(self) -> None:
        self.run(self.redis.aclose())
        self.runner.close()

    @initialize(of_v=st.sampled_from(["maximum", "maximum", "expected", None]))
    def both_exist(self, of_v: Reserve | None) -> None:
        for name, reserve in (("u", "maximum"), ("v", of_v)):
            self.world.put(User(name, tpm=TPM[name,], budgets=BUDGETS[name,], reserve=reserve, group="g"))
        self.world.put_key("u", "k", Policy(tpm=TPM["u", "k"]))
        self.world.put_group("g", Policy(tpm=TPM["", "g"], budgets=BUDGETS["", "g"]))

    @rule(
        name=NAMES,
        key=KEYS,
        prompt=st.sampled_from([0, 0, 1, 20]),
        answer=st.integers(0, 80) | st.just(10**6),
        hard=st.booleans(),
    )
    def reserve(self, name: str, key: str, prompt: int, answer: int, hard: bool) -> None:
        bounds = Bounds(Amounts(1, prompt, prompt), Amounts(1, prompt + answer), TOKEN_COST)
        guess = Amounts(1, prompt + min(answer, 10), 4 * prompt)
        charge = Charge(
            name, guess, "m", certain=NOTHING, key=key, bounds=bounds, reserve="maximum" if hard else "expected"
        )
        checked, verdict = [self.run(ask(charge)) for ask in (self.memory.check, self.memory.reserve)]
        assert [checked, verdict] == [self.run(self.asked(ask, charge)) for ask in ("check", "reserve")]
        if isinstance(verdict, Admitted):
            now_s = self.world.clock()
            request = Request(next(self.ids), verdict.reservation, prompt, [(now_s, prompt)], now_s)
            self.requests.append(request)
            self.running.append(request)

    async def asked(self, how: str, charge: Charge) -> object:
        return await getattr(self.redis, how)(charge)

    @precondition(lambda self: self.running)
    @rule(most=st.sampled_from([1, 20, 10**6]))
    def produce(self, most: int) -> None:
        """All at once, which is when a request that counts too short shows."""
        for request in self.running:
            left = request.reservation.amounts.tokens - request.tokens if request.reservation.is_hard else 10
            request.produced.append((self.world.clock(), min(most, left)))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.running))
        self.running.remove(request)
        self.settle_as(request, Amounts(1, request.tokens, request.cost()))

    @precondition(lambda self: any(request.tokens == 0 for request in self.running))
    @rule(data=st.data())
    def refund(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from([each for each in self.running if each.tokens == 0]))
        self.running.remove(request)
        self.settle_as(request, NOTHING)

    def settle_as(self, request: Request, used: Amounts) -> None:
        request.used = used
        changes = {request.id: used.minus(request.reservation.amounts)}
        for limiter in self.limiters:
            self.run(limiter.settle(request.reservation, used, changes))
        self.run(self.redis.settle(request.reservation, used, changes))  # and whoever brings it again

    @rule(data=st.data())
    def something_rare_happens(self, data: st.DataObject) -> None:
        """Rarely, so that requests live long enough to be counted too short."""
        happens = data.draw(st.sampled_from(["nothing"] * 3 + ["crash", "restart", "end"]))
        if happens == "crash":
            self.the_gateway_crashes(heard=data.draw(st.booleans()))
        elif happens == "restart":
            self.redis_restarts()
        elif happens == "end":
            early_s = data.draw(st.sampled_from([20.0, 1 / 64, 0.0]))
            self.a_period_nears_its_end(data.draw(st.sampled_from(PERIODS)), early_s)

    def the_gateway_crashes(self, *, heard: bool) -> None:
        """Another settles what Envoy reports, or nobody does: then the last seconds since a renewal count too short."""
        crashed, self.running = self.running, []
        for request in crashed:
            if heard:
                self.settle_as(request, Amounts(1, request.tokens, request.cost()))
            else:
                request.produced = [each for each in request.produced if each[0] <= request.renewed_s]

    def redis_restarts(self) -> None:
        self.server.kill()
        self.run(asyncio.sleep(0))
        self.server.start()

    @rule(ticks=st.sampled_from([1, 64 * 5, 64 * 31, 64 * 59, 64 * 60, 64 * 61]) | st.integers(0, 64 * 90))
    def time_passes(self, ticks: int) -> None:
        left_s = ticks / 64
        while left_s > 0:
            step_s = min(left_s, RENEW_S)
            self.world.clock.now_s += step_s
            left_s -= step_s
            self.renew()

    def renew(self) -> None:
        for request in self.running:
            if request.reservation.is_hard:
                request.renewed_s = self.world.clock()
                for limiter in self.limiters:
                    self.run(limiter.renew(request.id, request.reservation))

    def a_period_nears_its_end(self, period: str, early_s: float) -> None:
        for request in list(self.running):
            self.running.remove(request)
            self.settle_as(request, Amounts(1, request.tokens, request.cost()))
        end_s = period_end_s(period, int(self.world.clock()))
        self.world.clock.now_s = max(self.world.clock(), end_s - early_s)

    @invariant()
    def both_tell_the_same_use(self) -> None:
        for user, key in (("u", ""), ("v", ""), ("u", "k")):
            assert self.run(self.memory.usage(user, key)) == self.run(self.redis.usage(user, key))
        assert self.run(self.memory.group_usage("g")) == self.run(self.redis.group_usage("g"))

    @invariant()
    def no_more_than_tpm_is_produced_in_any_window(self) -> None:
        for holder, tpm in TPM.items():
            concerned = [request for request in self.requests if holder in request.holders()]
            if all(request.reservation.is_hard for request in concerned):
                produced = [each for request in concerned for each in request.produced]
                for end_s, _ in produced:
                    assert tpm >= sum(tokens for at_s, tokens in produced if end_s - WINDOW_S < at_s <= end_s)

    @invariant()
    def budgets_hold(self) -> None:
        for holder, budgets in BUDGETS.items():
            for name, budget in budgets.items():
                period, unit = name.removeprefix("cost_"), 2 if name.startswith("cost_") else 1
                spent: dict[str, int] = {}
                for request in self.requests:
                    if holder in request.holders():
                        reserved = request.reservation.amounts
                        counted = min(reserved[unit], (request.used or reserved)[unit])
                        at = period_name(period, request.reservation.slot)
                        spent[at] = spent.get(at, 0) + counted
                assert all(budget >= each for each in spent.values())


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


def test_any_history_is_the_same_on_both_and_keeps_what_is_promised(server):
    run_state_machine_as_test(
        lambda: Histories(server),
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
