"""Replicas that drain, sleep and are woken, on real runtimes beside real engines."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from autoscaling.sleeping import Moves
from controllers.podautoscaler.observing import ScaledPod
from controllers.podautoscaler.sleepers import Sleepers
from tests.support.engines import an_engine
from tests.support.own_engine import Reply, own_engine
from tests.support.polling import until
from tests.support.sidecar import Sidecar, sidecar


@pytest.fixture
async def runtimes(tmp_path: Path) -> AsyncIterator[list[Sidecar]]:
    async with AsyncExitStack() as stack:
        engines = [(await stack.enter_async_context(an_engine()))[0] for _ in range(2)]
        made = [
            stack.enter_context(sidecar(f"http://{engine.address}", tmp_path / f"{number}.log"))
            for number, engine in enumerate(engines)
        ]
        for one in made:
            await until(lambda one=one: is_ready(one))  # type: ignore[misc]  # mypy knows no defaults
        yield made


async def is_ready(runtime: Sidecar) -> bool:
    return await runtime.status("/ready") == 200


def pods(*runtimes: Sidecar, ready: bool = True) -> list[ScaledPod]:
    """One for each runtime, the youngest last."""
    ports = [int(one.url.rpartition(":")[2]) for one in runtimes]
    return [ScaledPod(f"p{n}", "127.0.0.1", ready, float(n), 8000, port) for n, port in enumerate(ports)]


async def test_the_youngest_drains_sleeps_once_nobody_sends_it_anything_and_is_woken(runtimes: list[Sidecar]):
    sleepers, both = Sleepers(), pods(*runtimes)
    assert frozenset() == await sleepers.resting(both)
    starting = both[0], both[1]._replace(is_ready=False)
    assert 0 == await sleepers.obey(Moves(sleep=1), starting, [], spare=0)
    assert [True, True] == [await is_ready(one) for one in runtimes]

    assert 0 == await sleepers.obey(Moves(sleep=1), both, [], spare=1)
    assert [True, False] == [await is_ready(one) for one in runtimes]

    for look, (ready, phase) in enumerate([(True, "draining"), (False, "draining"), (False, "sleeping")]):
        youngest = both[1]._replace(is_ready=ready)
        assert {"p1"} == await sleepers.resting([both[0], youngest])
        assert 0 == await sleepers.obey(Moves(), both[:1], [youngest], spare=0)
        told = (await runtimes[1].get("/v1/runtime/models")).json()["models"][0]["phase"]
        assert (look, phase) == (look, told)

    assert {"p1"} == await Sleepers().resting(both)  # who leads next knows it too
    assert 0 == await Sleepers().obey(Moves(wake=1), both[:1], both[1:], spare=0)
    assert (frozenset(), True) == (await sleepers.resting(both), await is_ready(runtimes[1]))


async def test_a_pod_that_drains_is_woken_before_one_that_sleeps_and_one_without_a_runtime_goes_on_resting(
    runtimes: list[Sidecar],
):
    sleepers, both = Sleepers(), pods(*runtimes)
    await runtimes[0].post("/v1/runtime/models/sleep")
    await runtimes[1].post("/v1/runtime/models/drain")
    assert {"p0", "p1"} == await sleepers.resting(both)

    await sleepers.obey(Moves(wake=1), [], both, spare=0)
    assert [False, True] == [await is_ready(one) for one in runtimes]

    runtimes[0].stop()
    assert {"p0"} == await sleepers.resting(both)
    assert frozenset() == await sleepers.resting(both[1:])
    assert frozenset() == await sleepers.resting(both)


async def test_what_starts_ends_before_what_serves_drains():
    ready = ScaledPod("ready", "127.0.0.1", True, 0.0, 8000, 1)
    starting = ready._replace(name="starting", is_ready=False)

    assert 1 == await Sleepers().obey(Moves(sleep=1), [ready, starting], [], spare=0)


async def test_pods_that_cannot_sleep_have_to_end(tmp_path: Path):
    with own_engine() as engine, sidecar(f"http://{engine.address}", tmp_path / "log") as runtime:
        engine.models = Reply(body=b'{"data": [{"id": "m"}]}')
        engine.metrics = b"vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n"
        engine.answer = lambda received: Reply(404, b'{"detail":"Not Found"}')
        await until(lambda: is_ready(runtime))
        sleepers, [pod] = Sleepers(), pods(runtime)

        assert 0 == await sleepers.obey(Moves(sleep=1), [pod], [], spare=1)
        for _ in range(2):
            await sleepers.resting([pod])
            await sleepers.obey(Moves(), [], [pod._replace(is_ready=False)], spare=0)

        assert frozenset() == await sleepers.resting([pod])
        assert 1 == await sleepers.obey(Moves(sleep=1), [pod], [], spare=1)
        assert 1 == await sleepers.obey(Moves(sleep=1), [pod._replace(name="x", runtime_port=None)], [], spare=1)
        assert frozenset() == await sleepers.resting([pod._replace(runtime_port=1)])
