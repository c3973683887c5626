"""A Redis for the tests of this package."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.redis import RedisServer, redis_server
from traffic.connection import Connection


@pytest.fixture(scope="package")
def shared_server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """An empty server that stays up."""
    shared_server.flush()
    return shared_server


@pytest.fixture
async def connection(server: RedisServer) -> AsyncIterator[Connection]:
    found = Connection(server.url, 20.0)
    yield found
    await found.aclose()
