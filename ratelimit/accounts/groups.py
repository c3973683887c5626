"""Groups of users and the limits that their users share: `forebay:groups/<name>`, JSON, no expiry.

Lives here: reading and writing records.  Not here: enforcing the limits (redis.limiter), HTTP.

A user's record names its group.  A group that is deleted, or never was, limits nobody.
"""

from typing import NamedTuple

from ratelimit.accounts.pages import Pages
from ratelimit.accounts.records import policy_record, read_policy
from ratelimit.accounts.users import Availability, store_client
from ratelimit.limits import MalformedUserError, Policy
from ratelimit.redis.names import GROUP_KEY_PREFIX, group_key


class Group(NamedTuple):
    """A stored group."""

    name: str
    policy: Policy


class GroupStore:
    """The groups on the Redis at `url`.  All methods may raise UserStoreUnavailableError."""

    def __init__(self, url: str, timeout_s: float, *, cluster: bool = False) -> None:
        self._redis = store_client(url, cluster=cluster)
        self._timeout_s = timeout_s
        self._pages = Pages(self._redis, GROUP_KEY_PREFIX, _group, cluster=cluster)

    async def put(self, group: Group) -> None:
        """Store a group, in place of one of that name; the next request obeys it."""
        async with Availability(self._timeout_s):
            await self._redis.set(group_key(group.name), policy_record(group.policy, name=group.name))

    async def get(self, name: str) -> Group | None:
        """Return the stored group; None = unknown.  Raises MalformedUserError."""
        async with Availability(self._timeout_s):
            stored = await self._redis.get(group_key(name))
        group = None if stored is None else _group(name, stored)
        if stored is not None and group is None:
            raise MalformedUserError(name)
        return group

    async def delete(self, name: str) -> Group | None:
        """Remove a group and return its last record, a malformed one without limits; None = unknown."""
        async with Availability(self._timeout_s):
            stored = await self._redis.getdel(group_key(name))
        return None if stored is None else _group(name, stored) or Group(name, Policy())

    async def list(self, after: str = "", limit: int | None = None) -> list[Group]:
        """Return groups by name, the first `limit` after the name `after`, without malformed records."""
        async with Availability(self._timeout_s) as patience:
            return await self._pages.list(after, limit, patience)

    async def aclose(self) -> None:
        """Disconnect."""
        await self._redis.aclose()


def _group(name: str, stored: bytes | str | None) -> Group | None:
    policy = read_policy(stored)
    return None if policy is None else Group(name, policy)
