"""Hints on a real Redis, read into a fleet's plans."""

import json
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from gateway.fleet.hints import Hints
from tests.support.hints import a_hint
from tests.support.plans import LONG, SHORT, asking
from tests.support.pods import MODEL, a_description, a_fleet, an_endpoint
from tests.support.redis import RedisServer, redis_server
from traffic.connection import Connection
from traffic.hint_store import LIFE_S, HintStore, key_of


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


class World:
    """A gateway's fleet of two deployments and its hints, by a clock that stands still, and Redis's, which does not."""

    def __init__(self, server: RedisServer) -> None:
        self.now_s = 1000.0
        self.connection = Connection(server.url, 5.0)
        self.store = HintStore(self.connection)
        self.fleet = a_fleet(an_endpoint("a", deployment="l20"), an_endpoint("b", deployment="v100"))
        self.hints = Hints(self.connection, self.fleet, lambda: self.now_s)

    async def publish(self, age_s: float = 0.0, version: int = 7, model: str = MODEL) -> None:
        await self.store.publish(model, a_hint(await self.connection.now_s() - age_s, version))

    def decided(self, tokens: int, model: str = MODEL) -> tuple[str, str]:
        """The pod that is chosen, and what stood in for the plan, without what stands in for speeds."""
        ticket = self.fleet.route(asking(tokens)._replace(model=model), "slo", self.now_s)
        self.fleet.withdraw(ticket, self.now_s)
        return ticket.decision.pod.id, ticket.decision.fallback.removeprefix("speed-unknown").removeprefix("+")


@pytest.fixture
async def world(shared_server: RedisServer):
    shared_server.flush()
    made = World(shared_server)
    yield made
    await made.connection.aclose()


async def test_requests_follow_a_hint_once_it_is_read(world: World) -> None:
    await world.hints.refresh()
    assert "no-plan" == world.decided(SHORT)[1]

    await world.publish()
    await world.hints.refresh()

    assert [("a", ""), ("b", "")] == [world.decided(SHORT), world.decided(LONG)]


@pytest.mark.parametrize(("age_s", "reason"), [(LIFE_S - 60, ""), (LIFE_S + 1, "plan-expired"), (-1e6, "")])
async def test_a_hint_is_as_old_as_redis_says(world: World, age_s: float, reason: str) -> None:
    await world.publish(age_s)
    await world.hints.refresh()

    assert ("b", reason) == world.decided(LONG)


async def test_a_hint_holds_two_minutes_however_often_it_is_read(world: World, shared_server: RedisServer) -> None:
    await world.publish(-1e6)  # by a clock that is ahead
    for _ in range(2):
        await world.hints.refresh()
        world.now_s += LIFE_S / 2
    await world.hints.refresh()

    assert ("b", "plan-expired") == world.decided(LONG)


@pytest.mark.parametrize("stored", [b"garbage", b"", b"{}", None])
async def test_the_last_good_hint_stays_until_it_is_too_old(
    world: World, shared_server: RedisServer, stored: bytes | None
) -> None:
    await world.publish()
    await world.hints.refresh()
    if stored is None:
        shared_server.own_client.delete(key_of(MODEL))
    else:
        shared_server.own_client.set(key_of(MODEL), stored)

    with capture_logs() as logs:
        for _ in range(3):
            await world.hints.refresh()

    assert ("b", "") == world.decided(LONG)
    assert (1 if stored else 0) == len(logs)
    world.now_s += LIFE_S + 1
    assert ("b", "plan-expired") == world.decided(LONG)
    await world.publish(version=8)
    await world.hints.refresh()
    assert ("b", "") == world.decided(LONG)


async def test_while_redis_is_away_the_last_hint_holds_until_it_is_too_old() -> None:
    with redis_server() as server:
        world = World(server)
        await world.publish()
        await world.hints.refresh()
        server.kill()

        await world.hints.refresh()

        assert ("b", "") == world.decided(LONG)
        world.now_s += LIFE_S + 1
        assert ("b", "plan-expired") == world.decided(LONG)
        server.start()
        await world.publish(version=8)
        await world.hints.refresh()
        assert ("b", "") == world.decided(LONG)
        await world.connection.aclose()


async def test_models_that_are_gone_are_forgotten_and_unknown_ones_never_read(world: World) -> None:
    for model in (MODEL, "other", "unknown"):
        await world.publish(model=model)
    both = [an_endpoint("a", deployment="l20"), an_endpoint("c", models=("other",), deployment="v100")]
    world.fleet.replace(a_description(*both))
    await world.hints.refresh()
    assert {MODEL, "other"} == world.hints.page().keys()

    world.fleet.replace(a_description(both[0]))
    await world.hints.refresh()

    assert [MODEL] == list(world.hints.page())
    assert world.fleet.plans.of("other") is None


async def test_the_page_shows_each_plan_and_how_it_was_followed(world: World) -> None:
    await world.publish()
    await world.hints.refresh()
    for tokens in (SHORT, SHORT, LONG):
        world.decided(tokens)
    world.now_s += 20

    page = json.loads(json.dumps(world.hints.page()))[MODEL]

    assert (7, False, {"ttft": 2.0}) == (page["version"], page["expired"], page["slo"])
    assert 0 < page["holds_s"] <= LIFE_S - 20
    assert {
        "l20": {"replicas": 3, "wanted": 2.0, "chosen": 2},
        "v100": {"replicas": 1, "wanted": 1.0, "chosen": 1},
    } == page["deployments"]


async def test_a_newer_plan_goes_on_counting(world: World) -> None:
    for version in (7, 8):
        await world.publish(version=version)
        await world.hints.refresh()
        world.decided(SHORT)

    found = world.fleet.plans.of(MODEL)
    assert found is not None
    assert (8, 2) == (found[0].version, found[1].chosen["l20"])
