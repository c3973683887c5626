"""API keys as stored in Redis.

Lives here: making, listing, changing and revoking keys.  Not here: the check of a request's key (keyring), HTTP.

Only a key's SHA-256 is stored.  A slow, salted hash guards secrets that can be guessed; 256 random bits cannot be.
All Redis keys have one hash tag, so that a change is one transaction in a Redis Cluster too.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ratelimit.accounts.records import policy_record, read_policy, shown_policy
from ratelimit.accounts.users import Availability, store_client
from ratelimit.limits import Policy
from ratelimit.redis.names import api_key_key

NO_LIMITS = Policy()

KEY_PREFIX = "fby-"
"""Begins every key, so that people and secret scanners recognise one."""
KEY_BYTES = 32
"""Random bytes of a key."""
KEY_LENGTH = len(KEY_PREFIX) + 43
"""Characters of a key: the prefix and KEY_BYTES in base64 without padding."""
ID_BYTES = 8
"""Random bytes of the id by which an administrator names a key."""
SHOWN_CHARACTERS = 4
"""The last characters of a key, which lists show."""

HOLDERS = "forebay:{api-keys}:holders"
"""A hash: digest -> user."""
TERMS = "forebay:{api-keys}:terms"
"""A hash: digest -> JSON of the key's `id`, and of `expires_at` and `models` where it has them."""
EPOCH = "forebay:{api-keys}:epoch"
"""A counter of revocations and changes: what was remembered of both is to be forgotten when it changes."""

_CHANGE = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
redis.call('INCR', KEYS[3])
return 1
"""
"""Lua: replace a key's record and its terms unless it was changed or revoked meanwhile.
KEYS: index of the user, terms, epoch.  ARGV: id, old record, new one, digest, new terms."""

_Record = bytes | str  # redis-py's type; it is always bytes


class Terms(NamedTuple):
    """The rules of a key, which an administrator may change."""

    expires_at: int | None = None  # seconds since 1970, from which on it is no key; None = never
    models: tuple[str, ...] | None = None  # the only models that it may be used for; None = any
    policy: Policy = NO_LIMITS
    """Limits of its own, under those of its user."""


NO_TERMS = Terms()
"""The terms of a key that may do all that its user may."""


class Key(NamedTuple):
    """A key as an administrator sees it."""

    id: str
    user: str
    name: str
    created: int  # seconds since 1970
    last4: str
    terms: Terms = NO_TERMS


def digest_of(key: str) -> str:
    """Return the digest under which a key is stored."""
    return hashlib.sha256(key.encode()).hexdigest()


class KeyStore:
    """The keys on the Redis at `url`.  All methods may raise UserStoreUnavailableError.

    `clock` is in seconds since 1970.
    """

    def __init__(self, url: str, timeout_s: float, clock: Callable[[], float], *, cluster: bool = False) -> None:
        self._redis = store_client(url, cluster=cluster)
        self._timeout_s = timeout_s
        self._clock = clock

    async def create(self, user: str, name: str, terms: Terms = NO_TERMS) -> tuple[str, Key]:
        """Make a key; return the secret, which is not stored, and the record.  The user need not exist."""
        secret = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
        key_id, created, last4 = secrets.token_hex(ID_BYTES), int(self._clock()), secret[-SHOWN_CHARACTERS:]
        key = Key(key_id, user, name, created, last4, terms)
        digest = digest_of(secret)
        async with Availability(self._timeout_s):
            await self._keep_limits(key)
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(HOLDERS, digest, user)
                pipe.hset(TERMS, digest, _terms(key))
                pipe.hset(_index(user), key.id, _stored(key, digest))
                await pipe.execute()
        return secret, key

    async def update(self, user: str, key_id: str, name: str, terms: Terms) -> Key | None:
        """Replace what may change of a key and return its record; None = the user has no such key."""
        async with Availability(self._timeout_s):
            while (record := await self._redis.hget(_index(user), key_id)) is not None:
                key = _key(record)._replace(name=name, terms=terms)
                digest = json.loads(record)["digest"]
                change = (key_id, record, _stored(key, digest), digest, _terms(key))
                if await self._redis.eval(_CHANGE, 3, _index(user), TERMS, EPOCH, *change):
                    await self._keep_limits(key)
                    return key
        return None

    async def list(self, user: str) -> list[Key]:
        """Return a user's valid keys, the oldest first."""
        async with Availability(self._timeout_s):
            stored = await self._redis.hgetall(_index(user))
        return sorted((_key(record) for record in stored.values()), key=lambda key: (key.created, key.id))

    async def revoke(self, user: str, key_id: str) -> Key | None:
        """End a key and return its record; None = the user has no such key."""
        async with Availability(self._timeout_s):
            record = await self._redis.hget(_index(user), key_id)
            if record is None:
                return None
            await self._forget(user, {key_id: record})
        return _key(record)

    async def revoke_all(self, user: str) -> None:
        """End every key of a user."""
        async with Availability(self._timeout_s):
            records = await self._redis.hgetall(_index(user))
            if records:
                await self._forget(user, records)

    async def _keep_limits(self, key: Key) -> None:
        """Store a key's own limits where the limiter reads them: with its user's, in another slot than the keys."""
        record = api_key_key(key.user, key.id)
        if key.terms.policy == NO_LIMITS:
            await self._redis.delete(record)
        else:
            await self._redis.set(record, policy_record(key.terms.policy))

    async def _forget(self, user: str, records: Mapping[Any, _Record]) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            digests = [json.loads(record)["digest"] for record in records.values()]
            pipe.hdel(HOLDERS, *digests)
            pipe.hdel(TERMS, *digests)
            pipe.hdel(_index(user), *records)
            pipe.incr(EPOCH)
            await pipe.execute()
        await self._redis.delete(*(api_key_key(user, _text(key_id)) for key_id in records))

    async def aclose(self) -> None:
        """Disconnect."""
        await self._redis.aclose()


def _index(user: str) -> str:
    """Return the Redis key of a user's hash: id -> record with its digest."""
    return f"forebay:{{api-keys}}:of:{user}"


def _key(record: _Record) -> Key:
    fields = json.loads(record)
    models, policy = fields.get("models"), read_policy(json.dumps(fields.get("limits", {})))
    terms = Terms(fields.get("expires_at"), None if models is None else tuple(models), policy or NO_LIMITS)
    return Key(**{name: fields[name] for name in Key._fields if name in fields}, terms=terms)


def _stored(key: Key, digest: str) -> str:
    fields = {**key._asdict(), **key.terms._asdict(), "limits": shown_policy(key.terms.policy), "digest": digest}
    return json.dumps({name: value for name, value in fields.items() if name not in {"terms", "policy"}})


def _text(key_id: bytes | str) -> str:
    return key_id if isinstance(key_id, str) else key_id.decode()


def _terms(key: Key) -> str:
    """Return what a request's key is judged by."""
    terms = {"id": key.id, "expires_at": key.terms.expires_at, "models": key.terms.models}
    return json.dumps({name: value for name, value in terms.items() if value is not None})
