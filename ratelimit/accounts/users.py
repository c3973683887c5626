"""Users and their limits as stored in Redis: `aibrix-users/<name>`, JSON, no expiry (docs/contracts.md section 2).

Lives here: reading and writing records, which other tools share.  Not here: enforcing the limits (redis.limiter), HTTP.

The window of a deleted user stays until it is empty: deleting a user and creating it again forgives nothing.
"""

import json
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from ratelimit.kinds import MODEL_KINDS, USER_FIELDS, LimitKind
from ratelimit.limits import MAX_LIMIT, MalformedUserError, Rates, User, shown_limits
from ratelimit.patience import Patience
from ratelimit.redis.names import USER_KEY_PREFIX, user_key

_REPLACE = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end redis.call('SET', KEYS[1], ARGV[2]) return 1"
"""Lua: replace the record unless it was changed meanwhile."""

_OURS = frozenset({"name", "models", *(kind.field for kind in USER_FIELDS)})
"""The fields of a record that belong to us; others are other tools'."""

SCAN_PAGE = 1000
"""How many keys a list of users reads at a time (chosen: well under a millisecond of Redis)."""


class UserStoreUnavailableError(Exception):
    """The store did not answer in time; a write may or may not have happened."""


class UserStore:
    """The records on the Redis at `url`.  All methods may raise UserStoreUnavailableError, at the latest when Redis has
    said nothing for `timeout_s`."""

    def __init__(self, url: str, timeout_s: float, *, cluster: bool = False) -> None:
        self._redis = store_client(url, cluster=cluster)
        self._timeout_s = timeout_s
        self._cluster = cluster

    async def create(self, user: User) -> tuple[User, bool]:
        """Store a new user and return (user, True), or leave an existing one as it is and return (stored user, False).

        Raises MalformedUserError when what is stored is no user record.
        """
        async with Availability(self._timeout_s):
            while True:
                if await self._redis.set(user_key(user.name), _record(user, {}), nx=True):
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
                record = _record(user, _fields(stored) or {})
                if await self._redis.eval(_REPLACE, 1, key, stored, record):
                    return user
        return None

    async def delete(self, name: str) -> User | None:
        """Remove a user and return the last record, a malformed one without limits; None = unknown."""
        async with Availability(self._timeout_s):
            stored = await self._redis.getdel(user_key(name))
        if stored is None:
            return None
        return _user(name, stored) or User(name)

    async def list(self, after: str = "", limit: int | None = None) -> list[User]:
        """Return users by name, the first `limit` after the name `after`, without malformed records.

        A page costs a scan of all names, in steps that hold up neither Redis nor this process.
        """
        found: dict[str, User] = {}
        async with Availability(self._timeout_s) as patience:
            while True:
                keys = await self._keys(user_key(after).encode(), limit, patience)
                for start in range(0, len(keys), SCAN_PAGE):
                    found |= await self._read_all(keys[start : start + SCAN_PAGE])
                    patience.renew()
                if limit is None or len(found) >= limit or len(keys) < limit:
                    return [user for _, user in sorted(found.items())][:limit]
                after = keys[-1].decode(errors="replace").removeprefix(USER_KEY_PREFIX)

    async def _keys(self, after: bytes, limit: int | None, patience: Patience) -> Sequence[bytes]:
        """Return the first keys of users after a key, in order; UTF-8 sorts as its characters do."""
        first: Sequence[bytes] = ()
        page: set[bytes] = set()  # a scan may return a key twice
        seen = 0
        async for key in self._redis.scan_iter(match=f"{USER_KEY_PREFIX}*", count=SCAN_PAGE):
            seen += 1
            if key > after:
                page.add(key)
            if seen % SCAN_PAGE == 0:
                first, page = sorted(page.union(first))[:limit], set()
                patience.renew()
        return sorted(page.union(first))[:limit]

    async def _read_all(self, keys: Sequence[bytes | str]) -> dict[str, User]:
        if not keys:
            return {}
        read = self._redis.mget_nonatomic if self._cluster else self._redis.mget
        names = [_text(key).removeprefix(USER_KEY_PREFIX) for key in keys]
        users = [_user(name, stored) for name, stored in zip(names, await read(keys), strict=True)]
        return {user.name: user for user in users if user is not None}

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


def _record(user: User, others: dict[str, Any]) -> bytes:
    """Return what is stored: the user's limits among the fields of other tools."""
    fields = {key: value for key, value in others.items() if key not in _OURS}
    fields |= {"name": user.name, **shown_limits(user, USER_FIELDS)}
    if user.models:
        fields["models"] = {model: shown_limits(rates, MODEL_KINDS) for model, rates in user.models.items()}
    return json.dumps(fields, ensure_ascii=False).encode()


def _text(key: bytes | str) -> str:
    return key if isinstance(key, str) else key.decode(errors="replace")


def _well_formed(name: str, stored: bytes | str) -> User:
    user = _user(name, stored)
    if user is None:
        raise MalformedUserError(name)
    return user


def _user(name: str, stored: bytes | str | None) -> User | None:
    """Read a record as lua/window.lua does; None = malformed."""
    fields = _fields(stored)
    if fields is None:
        return None
    models = fields.get("models") or {}
    try:
        if not isinstance(models, dict):
            return None
        rates = {model: Rates(**_limits(limits, MODEL_KINDS)) for model, limits in models.items()}
        return User(name, **_limits(fields, USER_FIELDS), models=rates)
    except ValueError:
        return None


def _limits(stored: Any, kinds: Sequence[LimitKind]) -> dict[str, Any]:
    """Read the limits by the names of their fields.  Raises ValueError for anything that is no limit."""
    if not isinstance(stored, dict):
        raise ValueError(stored)
    return {kind.field: _limit(stored.get(kind.field)) for kind in kinds}


def _limit(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_LIMIT:
        raise ValueError(value)
    if value != int(value):  # a JSON number without a fraction, written either way (100, 1e2)
        raise ValueError(value)
    return int(value)


def _fields(stored: bytes | str | None) -> dict[str, Any] | None:
    try:
        fields = json.loads(stored or b"")
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None
