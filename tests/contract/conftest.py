"""Every limiter, in a world that the test rules."""

from collections.abc import AsyncIterator, Iterator

import pytest

from ratelimit.limits import Limiter
from tests.support.limiters import World, a_limiter
from tests.support.redis import RedisServer, redis_server


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        return World(server=None)
    server: RedisServer = request.getfixturevalue("server")
    server.flush()
    return World(server)


@pytest.fixture
async def limiter(world: World) -> AsyncIterator[Limiter]:
    async with a_limiter(world) as made:
        yield made
