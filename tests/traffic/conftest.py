"""Redis servers for the tests of this package: one that stays up for all, one to be killed."""

from collections.abc import Iterator

import pytest

from tests.support.redis import RedisServer, redis_server


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
def mortal_server() -> Iterator[RedisServer]:
    """A server of the test's own, to be killed, paused and started again."""
    with redis_server() as running:
        yield running
