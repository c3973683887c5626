"""The in-memory double of the store of users keeps the protocol, as the tests of the Redis store check for that one."""

import pytest

from gateway.admin.users import Users
from ratelimit.limits import User
from tests.support.admin import MemoryUsers


@pytest.fixture
def users() -> Users:
    return MemoryUsers()


async def test_creating_keeps_the_first_record(users):
    assert (User("u", 1), True) == await users.create(User("u", 1))
    assert (User("u", 1), False) == await users.create(User("u", 2))
    assert User("u", 1) == await users.read("u")


async def test_only_an_existing_user_is_updated(users):
    assert None is await users.update(User("u", 1))
    await users.create(User("u", 1))

    assert User("u", 2) == await users.update(User("u", 2))
    assert [User("u", 2)] == await users.list()


async def test_deleting_returns_the_last_record_once(users):
    await users.create(User("u", 1))

    assert User("u", 1) == await users.delete("u")
    assert None is await users.delete("u")
    assert None is await users.read("u")
