"""The admin calls about API keys.

Lives here: their bodies and answers, and what they need of a store.  Not here: how keys are kept (ratelimit.accounts).
"""

from http import HTTPStatus
from typing import Protocol

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from gateway.admin.bodies import JsonRoute, Name
from gateway.admin.problems import REFUSALS, missing_user, problem
from gateway.admin.users import Users
from ratelimit.accounts.keys import Key


class Keys(Protocol):
    """Stored keys; `ratelimit.accounts.keys` has them in Redis.  Every method may raise the unavailability error."""

    async def create(self, user: str, name: str) -> tuple[str, Key]:
        """A new key, which is told only here, and its record."""
        ...

    async def list(self, user: str) -> list[Key]:
        """A user's valid keys, the oldest first."""
        ...

    async def revoke(self, user: str, key_id: str) -> Key | None:
        """End a key; None = the user has no such key."""
        ...

    async def revoke_all(self, user: str) -> None:
        """End every key of a user."""
        ...


class NewKey(BaseModel):
    """For whom a key is to be made."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    user: Name
    """Must exist."""
    name: Name = ""
    """What the key is for; only to tell it from others."""


class KeyChoice(BaseModel):
    """Which key."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    user: Name
    """Whose it is."""
    id: str
    """As it was told when the key was made, and is listed."""


class KeyRecord(BaseModel):
    """A key without the key."""

    id: str
    user: str
    name: str
    created: int
    last4: str


class KeyAnswer(BaseModel):
    """What happened."""

    message: str
    key: KeyRecord


class NewKeyAnswer(KeyAnswer):
    """What happened; `secret` is what goes into `authorization: Bearer`, and is never told again."""

    secret: str


class KeyList(BaseModel):
    """A user's valid keys, the oldest first."""

    keys: list[KeyRecord]


def key_calls(users: Users, keys: Keys) -> APIRouter:
    """Make, list and revoke the keys of a user."""
    router = APIRouter(route_class=JsonRoute, responses=REFUSALS)

    @router.post("/CreateKey", response_model=NewKeyAnswer)
    async def create_key(body: NewKey) -> NewKeyAnswer | Response:
        """Make a key.  It works at once, is shown only here, and is valid until it is revoked or its user deleted."""
        if await users.read(body.user) is None:
            return missing_user(body.user)
        secret, key = await keys.create(body.user, body.name)
        if await users.read(body.user) is None:  # deleted meanwhile, perhaps after its keys had been revoked
            await keys.revoke(body.user, key.id)
            return missing_user(body.user)
        return NewKeyAnswer(message=f"Created Key: {key.id}", key=_record(key), secret=secret)

    @router.post("/RevokeKey", response_model=KeyAnswer)
    async def revoke_key(body: KeyChoice) -> KeyAnswer | Response:
        """End a key, on every worker within a second."""
        key = await keys.revoke(body.user, body.id)
        if key is None:
            return problem(HTTPStatus.NOT_FOUND, f"Key: {body.id} does not exist", "key_not_found", param="id")
        return KeyAnswer(message=f"Revoked Key: {key.id}", key=_record(key))

    @router.get("/users/{name:path}/keys", response_model=KeyList)
    async def list_keys(name: str) -> KeyList | Response:
        """A user's valid keys."""
        if await users.read(name) is None:
            return missing_user(name)
        return KeyList(keys=[_record(key) for key in await keys.list(name)])

    return router


def _record(key: Key) -> KeyRecord:
    return KeyRecord(**key._asdict())
