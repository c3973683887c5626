"""The loop over a real Redis: what it reads, when it decides, and what stands while something is away."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from optimizer.planning.decider import Decider, Policy
from optimizer.planning.deployments import Deployment
from optimizer.service.board import Board
from optimizer.service.loop import Clock, Loop, Pace, Stores
from optimizer.service.profile_places import ProfilePlaces
from optimizer.service.profile_reader import ProfileReader
from optimizer.solver.supply import Supply
from tests.support.boards import L20, PROFILES, SHORT, V100
from tests.support.optimizer import a_profile, a_window, write_traffic
from tests.support.polling import until
from tests.support.redis import RedisServer, redis_server
from traffic.connection import Connection
from traffic.hint_store import HintStore
from traffic.store import TraceStore

QUICK = Pace(ingest_s=0.05, decide_s=0.1)
SELDOM = Pace(ingest_s=0.05, decide_s=3600.0)
MODEL = "org/m"


class Told:
    """A source that yields what it is given."""

    def __init__(self, *deployments: Deployment) -> None:
        self.problem = ""
        self._queue: asyncio.Queue[Sequence[Deployment]] = asyncio.Queue()
        self.tell(*deployments)

    def tell(self, *deployments: Deployment) -> None:
        self._queue.put_nowait(deployments)

    async def watch(self) -> AsyncIterator[tuple[Deployment, ...]]:
        while True:
            yield tuple(await self._queue.get())


class Fails(Decider):
    """A decider in which there is a defect."""

    def decide(self, *args: Any, **more: Any) -> Any:
        raise ZeroDivisionError("a defect")


class TooLarge(Decider):
    """A decider whose hints are larger than gateways read."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider

    def decide(self, *args: Any, **more: Any) -> Any:
        decision = self._decider.decide(*args, **more)
        return replace(decision, hint=replace(decision.hint, replicas={f"d{n}": 1 for n in range(100_000)}))


@asynccontextmanager
async def running(url: str, source: Told, pace: Pace = QUICK, policy: Policy | None = None) -> AsyncIterator[Board]:
    """A loop for the length of a block."""
    connection = Connection(url, 5.0)
    clock = Clock(0.0, asyncio.get_running_loop().time)
    board = Board(lambda: Decider(policy), clock.now_s, lambda: source.problem)
    stores = Stores(connection, TraceStore(connection), HintStore(connection))
    profiles = ProfileReader(board, ProfilePlaces(connection, [], {}))
    task = asyncio.create_task(
        Loop(board, source, profiles, stores, clock=clock, pace=pace, supply=(policy or Policy()).supply).run()
    )
    try:
        yield board
    finally:
        task.cancel()
        await asyncio.wait((task,))
        await connection.aclose()


def store_profiles(server: RedisServer) -> None:
    for deployment, text in PROFILES.items():
        server.own_client.set(f"aibrix:profile_{MODEL}_{deployment.name}", text)


async def decided(board: Board, **replicas: int) -> None:
    """Wait until so many replicas are published."""
    wanted = {f"default/{name.replace('_', '-')}": n for name, n in replicas.items()}
    await until(lambda: {key: board.published(key) for key in wanted} == wanted)


async def test_all_stored_windows_are_read_before_the_first_decision(server: RedisServer):
    store_profiles(server)
    await write_traffic(server.url, MODEL, [a_window(30, {SHORT: 1.0})] * 12)

    async with running(server.url, Told(L20, V100), SELDOM) as board:
        await decided(board, m_l20=5, m_v100=0)

        model = board.models[MODEL]
        assert (12, 1) == (model.windows, len(list(model.history)))
        assert "" == board.redis_problem


async def test_the_hint_is_published_and_a_second_optimizer_does_no_harm(server: RedisServer):
    store_profiles(server)
    await write_traffic(server.url, MODEL, [a_window(30, {SHORT: 1.0})] * 6)
    connection = Connection(server.url, 20.0)

    async with running(server.url, Told(L20, V100)) as one, running(server.url, Told(L20, V100)) as other:
        await decided(one, m_l20=5)
        await decided(other, m_l20=5)
        hint = (await HintStore(connection).read([MODEL]))[MODEL]

    assert {"m-l20": 5, "m-v100": 0} == hint.replicas
    assert {"m-l20": 1.0} == hint.share[0][0]
    await connection.aclose()


async def test_a_jump_of_the_rate_is_decided_at_once(server: RedisServer):
    store_profiles(server)
    await write_traffic(server.url, MODEL, [a_window(30, {SHORT: 1.0})] * 6)
    async with running(server.url, Told(L20, V100), SELDOM) as board:
        await decided(board, m_l20=5)
        server.flush()
        store_profiles(server)
        # The next window is complete within 10 s.
        deadline = asyncio.create_task(decided(board, m_l20=9))
        while not deadline.done():
            await write_traffic(server.url, MODEL, [a_window(60, {SHORT: 1.0})])
            await asyncio.sleep(0.5)
        await deadline


async def test_what_changes_is_decided_at_once(server: RedisServer):
    store_profiles(server)
    await write_traffic(server.url, MODEL, [a_window(30, {SHORT: 1.0})] * 6)
    source = Told(L20, V100)
    async with running(server.url, source, SELDOM) as board:
        await decided(board, m_l20=5, m_v100=0)
        source.tell(L20, replace(V100, min_replicas=2, is_min_always=True))
        await decided(board, m_v100=2)
        board.override(L20.key, 8)
        await until(lambda: board.models[MODEL].decision.replicas[L20.key] == 8)  # type: ignore[union-attr]  # it was decided


async def test_without_traces_what_runs_is_kept(server: RedisServer):
    store_profiles(server)
    async with running(server.url, Told(replace(L20, replicas=3, ready=3), V100)) as board:
        await decided(board, m_l20=3, m_v100=0)

        decision = board.models[MODEL].decision
        assert decision is not None
        assert "no traces" in decision.held[0]


async def test_redis_goes_and_comes_back():
    with redis_server() as server:
        store_profiles(server)
        await write_traffic(server.url, MODEL, [a_window(30, {SHORT: 1.0})] * 6)
        async with running(server.url, Told(L20, V100)) as board:
            await decided(board, m_l20=5)
            server.kill()
            await until(lambda: board.redis_problem != "")
            at_s = board.models[MODEL].decided_at_s
            await until(lambda: board.models[MODEL].decided_at_s > at_s)
            assert 5 == board.published(L20.key)

            server.start()
            await until(lambda: board.redis_problem == "")
            assert 5 == board.published(L20.key)


async def test_a_source_that_is_away_keeps_its_deployments(server: RedisServer):
    store_profiles(server)
    await write_traffic(server.url, MODEL, [a_window(30, {SHORT: 1.0})] * 6)
    source = Told(L20, V100)
    async with running(server.url, source) as board:
        await decided(board, m_l20=5)
        source.problem = "the API server is away"
        at_s = board.models[MODEL].decided_at_s
        await until(lambda: board.models[MODEL].decided_at_s > at_s)

        assert 5 == board.published(L20.key)
        assert ["deployments may be out of date: the API server is away"] == board.problems()


async def test_a_defect_in_one_model_leaves_its_last_decision_and_the_others(server: RedisServer):
    store_profiles(server)
    await write_traffic(server.url, MODEL, [a_window(30, {SHORT: 1.0})] * 6)
    other = Deployment("default", "o", "other", 2, 2)
    async with running(server.url, Told(L20, V100, other)) as board:
        await decided(board, m_l20=5, o=2)
        board.models[MODEL].decider = Fails()
        await until(lambda: board.models[MODEL].failure != "")
        at_s = board.models["other"].decided_at_s
        await until(lambda: board.models["other"].decided_at_s > at_s)

        assert (5, "ZeroDivisionError: a defect") == (board.published(L20.key), board.models[MODEL].failure)


async def test_a_clock_that_goes_back_stops_nothing(server: RedisServer):
    store_profiles(server)
    await write_traffic(server.url, MODEL, [a_window(30, {SHORT: 1.0})] * 6)
    async with running(server.url, Told(L20, V100)) as board:
        await decided(board, m_l20=5)
        model = board.models[MODEL]
        ahead_s = model.decided_at_s = board.now_s() + 3600
        await until(lambda: model.decided_at_s < ahead_s)


async def test_models_share_a_supply_whoever_came_first(server: RedisServer):
    first = replace(L20, name="a", model="a", gpu="L20", replicas=6, ready=6)
    second = replace(L20, name="b", model="b", gpu="L20")
    for each, short in ((first, 10.0), (second, 20.0)):
        text = a_profile(each.name, 1.0, [[short, 2.0], [5.0, 0.0]])
        server.own_client.set(f"aibrix:profile_{each.model}_{each.name}", text)
    await write_traffic(server.url, "a", [a_window(40, {SHORT: 1.0})] * 6)
    source = Told(first, second)

    async with running(server.url, source, policy=Policy(supply=Supply({"L20": 6}))) as board:
        await decided(board, a=6)
        await write_traffic(server.url, "b", [a_window(40, {SHORT: 1.0})] * 6)
        await until(lambda: (board.published(first.key) or 6) < 6)
        kept = board.published(first.key)
        assert kept is not None
        source.tell(replace(first, replicas=kept, ready=kept), second)

        await decided(board, b=6 - kept)


async def test_a_hint_that_cannot_be_published_is_told_and_the_decision_stands(server: RedisServer):
    store_profiles(server)
    await write_traffic(server.url, MODEL, [a_window(30, {SHORT: 1.0})] * 6)
    async with running(server.url, Told(L20, V100)) as board:
        await decided(board, m_l20=5)
        model = board.models[MODEL]
        model.decider = TooLarge(model.decider)
        await until(lambda: model.failure != "")

        assert "the hint is not published: " in model.failure
        assert 5 == board.published(L20.key)


def test_redis_clock_is_carried_on():
    now_s = 100.0
    clock = Clock(5.0, lambda: now_s)
    assert 5.0 == clock.now_s()

    clock.set(1000.0)
    now_s = 101.5
    assert 1001.5 == clock.now_s()


async def test_models_whose_names_begin_alike_are_told_apart(server: RedisServer):
    deployments = [replace(L20, name=name, model=model) for name, model in (("a", "m"), ("b", "m_x"), ("c", "m*"))]
    for n, each in enumerate(deployments):
        text = PROFILES[L20].replace("m-l20", each.name)
        server.own_client.set(f"aibrix:profile_{each.model}_{each.name}", text)
        await write_traffic(server.url, each.model, [a_window(20 * (n + 1), {SHORT: 1.0})] * 6)

    async with running(server.url, Told(*deployments)) as board:
        await decided(board, a=3, b=6, c=9)
