"""The admin interface on doubles: users in memory, usage as told."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from gateway.adapters.desk import AdapterError, Desk
from gateway.adapters.placing import Adapter
from gateway.adapters.records import Wanted
from gateway.admin.app import CALLS, create_admin_app
from gateway.observability.http import index_route, monitoring_routes
from gateway.openai.answers import ModelCard
from ratelimit.accounts.groups import Group
from ratelimit.accounts.keys import NO_TERMS, Key, Terms
from ratelimit.kinds import Amounts
from ratelimit.limits import Charge, LimiterUnavailableError, Reservation, UnknownUser, Usage, User, Verdict

NOW_S = 1_800_000_000.0


class StoreAwayError(Exception):
    """The error that the double raises while `away`."""


@dataclass
class MemoryUsers:
    """Users in a dict."""

    stored: dict[str, User] = field(default_factory=dict)
    away: bool = False

    def _reached(self) -> dict[str, User]:
        if self.away:
            raise StoreAwayError
        return self.stored

    async def create(self, user: User) -> tuple[User, bool]:
        is_new = user.name not in self._reached()
        return self.stored.setdefault(user.name, user), is_new

    async def read(self, name: str) -> User | None:
        return self._reached().get(name)

    async def update(self, user: User) -> User | None:
        if user.name not in self._reached():
            return None
        self.stored[user.name] = user
        return user

    async def delete(self, name: str) -> User | None:
        return self._reached().pop(name, None)

    async def list(self, after: str = "", limit: int | None = None) -> list[User]:
        return [user for name, user in sorted(self._reached().items()) if name > after][:limit]


@dataclass
class MemoryKeys:
    """Keys in a dict: id -> secret and record."""

    made: dict[str, tuple[str, Key]] = field(default_factory=dict)
    away: bool = False

    async def create(self, user: str, name: str, terms: Terms = NO_TERMS) -> tuple[str, Key]:
        if self.away:
            raise StoreAwayError
        number = len(self.made) + 1
        key = Key(f"id{number}", user, name, 1000 + number, "last", terms)
        self.made[key.id] = f"secret-{number}", key
        return self.made[key.id]

    async def update(self, user: str, key_id: str, name: str, terms: Terms) -> Key | None:
        before = {key.id: key for key in await self.list(user)}.get(key_id)
        if before is None:
            return None
        key = before._replace(name=name, terms=terms)
        self.made[key_id] = self.made[key_id][0], key
        return key

    async def list(self, user: str) -> list[Key]:
        if self.away:
            raise StoreAwayError
        return [key for _, key in self.made.values() if key.user == user]

    async def revoke(self, user: str, key_id: str) -> Key | None:
        keys = {key.id: key for key in await self.list(user)}
        return self.made.pop(key_id)[1] if key_id in keys else None

    async def revoke_all(self, user: str) -> None:
        for key in await self.list(user):
            del self.made[key.id]


@dataclass
class MemoryGroups:
    """Groups in a dict."""

    stored: dict[str, Group] = field(default_factory=dict)

    async def put(self, group: Group) -> None:
        self.stored[group.name] = group

    async def get(self, name: str) -> Group | None:
        return self.stored.get(name)

    async def delete(self, name: str) -> Group | None:
        return self.stored.pop(name, None)

    async def list(self, after: str = "", limit: int | None = None) -> list[Group]:
        return [group for name, group in sorted(self.stored.items()) if name > after][:limit]


@dataclass
class ToldLimiter:
    """A limiter that knows the usage and the verdicts it was told; nothing else is asked of it here."""

    used: dict[str, Usage] = field(default_factory=dict)
    verdicts: dict[Charge, Verdict] = field(default_factory=dict)
    away: bool = False

    async def reserve(self, charge: Charge) -> Verdict:
        raise NotImplementedError

    async def check(self, charge: Charge) -> Verdict:
        if self.away:
            raise LimiterUnavailableError
        return self.verdicts.get(charge) or UnknownUser(charge.user)

    async def settle(
        self, reservation: Reservation, used: Amounts, changes: Mapping[str, Amounts] | None = None
    ) -> None:
        raise NotImplementedError

    async def usage(self, user: str, key: str = "") -> Usage | None:
        if self.away:
            raise LimiterUnavailableError
        return self.used.get(key or user)

    async def group_usage(self, group: str) -> Usage | None:
        return self.used.get(group)

    async def renew(self, request: str, reservation: Reservation) -> None:
        raise NotImplementedError


class NoAdapters(Desk):
    """A desk of a fleet without pods, and of adapters that nobody asked for."""

    def __init__(self) -> None:
        pass

    async def load(self, one: Wanted) -> Adapter:
        raise AdapterError(404, "no such model", "model_not_found", "model")

    async def unload(self, name: str) -> Adapter:
        raise AdapterError(404, "no such adapter", "adapter_not_found", "name")


@dataclass
class Admin:
    """The application, its surroundings and a client."""

    users: MemoryUsers
    keys: MemoryKeys
    groups: MemoryGroups
    limiter: ToldLimiter
    client: httpx.AsyncClient

    async def call(self, path: str, body: object) -> httpx.Response:
        return await self.client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})


def an_admin(
    token: str = "", not_ready: tuple[str, ...] = (), models: tuple[str, ...] = (), *, any_host: bool = False
) -> Admin:
    """An admin interface without a server; of adapters it knows only how to say that they are not there."""
    users, keys, groups, limiter = MemoryUsers(), MemoryKeys(), MemoryGroups(), ToldLimiter()
    app = create_admin_app(
        users,
        keys,
        groups,
        limiter,
        lambda: [ModelCard(name, 7) for name in models],
        operations=[
            index_route("the admin REST", CALLS, {}),
            *monitoring_routes(lambda: b"a_metric 1\n", "text/plain", lambda: not_ready),
        ],
        unavailable=(StoreAwayError, LimiterUnavailableError),
        adapters=NoAdapters(),
        clock=lambda: NOW_S,
        token=token,
        any_host=any_host,
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return Admin(users, keys, groups, limiter, httpx.AsyncClient(transport=transport, base_url="http://localhost"))
