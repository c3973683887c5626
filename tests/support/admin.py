"""The admin interface on doubles: users in memory, usage as told."""

import json
from dataclasses import dataclass, field

import httpx

from gateway.admin.app import create_admin_app
from gateway.http import operation_routes
from ratelimit.limits import Charge, LimiterUnavailableError, Reservation, Usage, User, Verdict


class StoreAwayError(Exception):
    """What the double raises while `away`."""


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

    async def list(self) -> list[User]:
        return [*self._reached().values()]


@dataclass
class ToldLimiter:
    """A limiter that knows the usage it was told; nothing else is asked of it here."""

    used: dict[str, Usage] = field(default_factory=dict)
    away: bool = False

    async def reserve(self, charge: Charge) -> Verdict:
        raise NotImplementedError

    async def check(self, charge: Charge) -> Verdict:
        raise NotImplementedError

    async def settle(self, reservation: Reservation, tokens: int) -> None:
        raise NotImplementedError

    async def usage(self, user: str) -> Usage | None:
        if self.away:
            raise LimiterUnavailableError
        return self.used.get(user)


@dataclass
class Admin:
    """The application, its surroundings and a client."""

    users: MemoryUsers
    limiter: ToldLimiter
    client: httpx.AsyncClient

    async def call(self, path: str, body: object) -> httpx.Response:
        return await self.client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})


def an_admin(token: str = "", not_ready: tuple[str, ...] = (), models: tuple[str, ...] = ()) -> Admin:
    """An admin interface without a server."""
    users, limiter = MemoryUsers(), ToldLimiter()
    app = create_admin_app(
        users,
        limiter,
        lambda: models,
        operations=operation_routes(lambda: b"a_metric 1\n", "text/plain", lambda: not_ready),
        unavailable=(StoreAwayError, LimiterUnavailableError),
        token=token,
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return Admin(users, limiter, httpx.AsyncClient(transport=transport, base_url="http://admin"))
