"""Users and their limits as stored in Redis: `aibrix-users/<name>`, JSON, no expiry (docs/contracts.md section 2).

Lives here: reading and writing records, which other tools share.  Not here: enforcing the limits (redis.limiter), HTTP.

The window of a deleted user stays until it is empty: deleting a user and creating it again forgives nothing.
"""

from types import TracebackType
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from ratelimit.accounts.pages import Pages
from ratelimit.accounts.records import fields_of, read_user, user_record
from ratelimit.limits import MalformedUserError, User
from ratelimit.patience import Patience
from ratelimit.redis.names import USER_KEY_PREFIX, user_key

_REPLACE = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end redis.call('SET', KEYS[1], ARGV[2]) return 1"
"""Lua: replace the record unless it was changed meanwhile."""


class UserStoreUnavailableError(Exception):
    """The store did not answer in time; a write may or may not have happened."""


class UserStore:
    """The records on the Redis at `url`.  All methods may raise UserStoreUnavailableError, at the latest when Redis has
    said nothing for `timeout_s`."""

    def __init__(self, url: str, timeout_s: float, *, cluster: bool = False) -> None:
        self._redis = store_client(url, cluster=cluster)
        self._timeout_s = timeout_s
        self._pages = Pages(self._redis, USER_KEY_PREFIX, read_user, cluster=cluster)

    async def create(self, user: User) -> tuple[User, bool]:
        """Store a new user and return (user, True), or leave an existing one as it is and return (stored user, False).

        Raises MalformedUserError when what is stored is no user record.
        """
        async with Availability(self._timeout_s):
            while True:
                if await self._redis.set(user_key(user.name), user_record(user, {}), nx=True):
                    return user, True
                stored = await self._redis.get(user_key(user.name))
                if stored is not None:  # None: deleted between the two steps
                    return _well_formed(user.name, stored), False

    async def read(self, name: str) -> User | None:
        """Return the stored user; None = unknown.  Raises MalformedUserError."""
        async with Availability(self._timeout_s):
            stored = await self._redis.get(user_key(name))
        return None if stored is None else _well_formed(name, stored)

    async def update(self, user: User) -> User | None:
        """Replace the limits and keep other tools' fields; None = unknown.  Repairs a malformed record."""
        key = user_key(user.name)
        async with Availability(self._timeout_s):
            while (stored := await self._redis.get(key)) is not None:
                record = user_record(user, fields_of(stored) or {})
                if await self._redis.eval(_REPLACE, 1, key, stored, record):
                    return user
        return None

    async def delete(self, name: str) -> User | None:
        """Remove a user and return the last record, a malformed one without limits; None = unknown."""
        async with Availability(self._timeout_s):
            stored = await self._redis.getdel(user_key(name))
        if stored is None:
            return None
        return read_user(name, stored) or User(name)

    async def list(self, after: str = "", limit: int | None = None) -> list[User]:
        """Return users by name, the first `limit` after the name `after`, without malformed records."""
        async with Availability(self._timeout_s) as patience:
            return await self._pages.list(after, limit, patience)

    async def aclose(self) -> None:
        """Disconnect."""
        await self._redis.aclose()


def store_client(url: str, *, cluster: bool) -> Any:
    """Return a client of one server or of a cluster, which have the same calls and no common type.

    Its own timeouts are off: they take a worker that did not get to run for a Redis that is silent (see Availability).
    Protocol 3 makes redis-py 8 hand out connections that Redis has closed (it takes their end for a notification).
    """
    options: dict[str, Any] = {"protocol": 2, "socket_timeout": None, "socket_connect_timeout": None}
    if cluster:
        return RedisCluster.from_url(url, **options)
    return Redis.from_url(url, **options, retry=Retry(NoBackoff(), 0))


class Availability:
    """A block of calls to the store: what the client raises becomes UserStoreUnavailableError, and so does a block that
    runs out of patience."""

    def __init__(self, timeout_s: float) -> None:
        self._patience = Patience(timeout_s)

    async def __aenter__(self) -> Patience:
        return await self._patience.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._patience.__aexit__(kind, error, traceback)
        except TimeoutError as late:
            raise UserStoreUnavailableError("no answer in time") from late
        if isinstance(error, RedisError | RedisClusterException | OSError):
            raise UserStoreUnavailableError(str(error)) from error


def _well_formed(name: str, stored: bytes | str) -> User:
    user = read_user(name, stored)
    if user is None:
        raise MalformedUserError(name)
    return user
