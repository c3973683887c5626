"""Users and their limits as stored in Redis: `aibrix-users/<name>`, JSON, no expiry (contracts section 2).

Lives here: reading and writing records that other tools share.  Not here: use of the limits (redis_limiter), HTTP.
The window of a deleted user stays until it is empty: deleting and creating again forgives nothing.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from ratelimit.limits import MalformedUserError, Rates, User
from ratelimit.redis_limiter import MAX_LIMIT, USER_KEY_PREFIX, user_key

_OPTIONAL = frozenset({"concurrency", "models"})

SCAN_PAGE = 1000
"""Keys asked for at a time when listing.  Chosen: well under a millisecond of Redis."""


class UserStoreUnavailableError(Exception):
    """The store did not answer in time; a write may or may not have happened."""


class UserStore:
    """The records on the Redis at `url`.  All methods may raise UserStoreUnavailableError."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._redis = store_client(url, timeout_s)

    async def create(self, user: User) -> tuple[User, bool]:
        """Store a new user: (user, True).  When there is one already: (the stored one, False), unchanged.

        Raises MalformedUserError when what is there is not a user record.
        """
        with availability():
            while True:
                if await self._redis.set(user_key(user.name), _record(user, {}), nx=True):
                    return user, True
                stored = await self._redis.get(user_key(user.name))
                if stored is not None:  # None: deleted between the two steps
                    return _well_formed(user.name, stored), False

    async def read(self, name: str) -> User | None:
        """The stored user; None = unknown.  Raises MalformedUserError."""
        with availability():
            stored = await self._redis.get(user_key(name))
        return None if stored is None else _well_formed(name, stored)

    async def update(self, user: User) -> User | None:
        """Replace the limits and keep other tools' fields; None = unknown.  Repairs a malformed record."""

        async def replace(pipe: Pipeline) -> User | None:
            stored = await pipe.get(user_key(user.name))
            pipe.multi()  # type: ignore[no-untyped-call]  # redis-py
            if stored is None:
                return None
            pipe.set(user_key(user.name), _record(user, _fields(stored) or {}))
            return user

        with availability():
            updated: User | None = await self._redis.transaction(replace, user_key(user.name), value_from_callable=True)
            return updated

    async def delete(self, name: str) -> User | None:
        """Remove a user and return the last record, a malformed one without limits; None = unknown."""
        with availability():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.get(user_key(name))
                pipe.delete(user_key(name))
                stored, _ = await pipe.execute()
        if stored is None:
            return None
        return _user(name, stored) or User(name)

    async def list(self) -> list[User]:
        """All users by name; malformed records are left out, `read` tells about them."""
        found: dict[str, User] = {}
        with availability():
            cursor = None
            while cursor != 0:
                cursor, keys = await self._redis.scan(cursor or 0, match=f"{USER_KEY_PREFIX}*", count=SCAN_PAGE)
                for key, stored in zip(keys, await self._redis.mget(keys) if keys else (), strict=True):
                    name = _text(key).removeprefix(USER_KEY_PREFIX)
                    user = _user(name, stored)
                    if user is not None:
                        found[name] = user
        return [user for _, user in sorted(found.items())]

    async def aclose(self) -> None:
        """Disconnect."""
        await self._redis.aclose()


def store_client(url: str, timeout_s: float) -> Redis:
    """A client for records.

    Protocol 3 makes redis-py 8 hand out connections that Redis has closed (it takes their end for a notification).
    """
    return Redis.from_url(
        url, protocol=2, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
    )


@contextmanager
def availability() -> Iterator[None]:
    """Turn what the client raises into UserStoreUnavailableError."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise UserStoreUnavailableError(str(error)) from error


def _record(user: User, others: dict[str, Any]) -> bytes:
    """What is stored; what a user may well have no limit of is only there when set."""
    fields = {key: value for key, value in others.items() if key not in _OPTIONAL}
    fields |= {"name": user.name, "rpm": user.rpm, "tpm": user.tpm}
    if user.concurrency is not None:
        fields["concurrency"] = user.concurrency
    if user.models:
        fields["models"] = {model: rates._asdict() for model, rates in user.models.items()}
    return json.dumps(fields, ensure_ascii=False).encode()


def _text(key: bytes | str) -> str:
    return key if isinstance(key, str) else key.decode(errors="replace")


def _well_formed(name: str, stored: bytes | str) -> User:
    user = _user(name, stored)
    if user is None:
        raise MalformedUserError(name)
    return user


def _user(name: str, stored: bytes | str | None) -> User | None:
    """The record as the limiter's script reads it; None = malformed."""
    fields = _fields(stored)
    if fields is None:
        return None
    models = fields.get("models") or {}
    try:
        if not isinstance(models, dict):
            return None
        rates = {model: Rates(_limit(limits, "rpm"), _limit(limits, "tpm")) for model, limits in models.items()}
        return User(name, _limit(fields, "rpm"), _limit(fields, "tpm"), _limit(fields, "concurrency"), rates)
    except ValueError:
        return None


def _limit(fields: Any, key: str) -> int | None:
    """Raises ValueError for what is no limit."""
    if not isinstance(fields, dict):
        raise ValueError(key)
    value = fields.get(key)
    if value is not None and not _is_limit(value):
        raise ValueError(key)
    return None if value is None else int(value)


def _is_limit(value: object) -> bool:
    """A JSON number without a fraction, written either way (100, 1e2)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= MAX_LIMIT and value == int(value)


def _fields(stored: bytes | str | None) -> dict[str, Any] | None:
    try:
        fields = json.loads(stored or b"")
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None
