"""The admin calls about API keys.

Lives here: their bodies, their answers, and the protocol of the store.  Not here: the store (ratelimit.accounts.keys).
"""

from http import HTTPStatus
from typing import Protocol

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from gateway.admin.bodies import MAX_PAGE, JsonRoute, Name, PageSize, StoredName
from gateway.admin.problems import REFUSALS, missing_user
from gateway.admin.users import Users
from gateway.observability.http import problem
from ratelimit.accounts.keys import Key


class Keys(Protocol):
    """The store of API keys; `ratelimit.accounts.keys` implements it on Redis.

    Every method may raise the store's unavailability error.
    """

    async def create(self, user: str, name: str) -> tuple[str, Key]:
        """Make a key; return its secret, which is not stored, and its record."""
        ...

    async def list(self, user: str) -> list[Key]:
        """Return the valid keys of a user, the oldest first."""
        ...

    async def revoke(self, user: str, key_id: str) -> Key | None:
        """Revoke a key and return it; None = the user has no such key."""
        ...

    async def revoke_all(self, user: str) -> None:
        """Revoke every key of a user."""
        ...


class NewKey(BaseModel):
    """The user and the purpose of a new key."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    user: StoredName
    """The user that the key identifies; must exist."""
    name: Name = ""
    """A label for people, to tell the key from others."""


class KeyChoice(BaseModel):
    """The choice of one key."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    user: StoredName
    """The user of the key."""
    id: str
    """The id of the key, as CreateKey returned it and the list shows it."""


class KeyRecord(BaseModel):
    """A key without its secret."""

    id: str
    user: str
    name: str
    created: int
    last4: str


class KeyAnswer(BaseModel):
    """The answer to a change of a key: a message, and the key."""

    message: str
    key: KeyRecord


class NewKeyAnswer(KeyAnswer):
    """A new key; `secret` is sent as `authorization: Bearer SECRET` and is never shown again."""

    secret: str


class KeyList(BaseModel):
    """The valid keys of a user, the oldest first."""

    keys: list[KeyRecord]
    next: str = ""
    """The `after` of the next page; there is none when it is absent."""


def key_calls(users: Users, keys: Keys) -> APIRouter:
    """Make the calls that create, list and revoke keys."""
    router = APIRouter(route_class=JsonRoute, responses=REFUSALS)

    @router.post("/CreateKey", response_model=NewKeyAnswer)
    async def create_key(body: NewKey) -> NewKeyAnswer | Response:
        """Make a key.  It works at once, is shown only here, and is valid until it is revoked or its user deleted."""
        if await users.read(body.user) is None:
            return missing_user(body.user)
        secret, key = await keys.create(body.user, body.name)
        if await users.read(body.user) is None:  # deleted meanwhile, perhaps after DeleteUser revoked the keys
            await keys.revoke(body.user, key.id)
            return missing_user(body.user)
        return NewKeyAnswer(message=f"Created Key: {key.id}", key=_record(key), secret=secret)

    @router.post("/RevokeKey", response_model=KeyAnswer)
    async def revoke_key(body: KeyChoice) -> KeyAnswer | Response:
        """Revoke a key; every worker refuses it within a second."""
        key = await keys.revoke(body.user, body.id)
        if key is None:
            return _missing_key(body.id, "id")
        return KeyAnswer(message=f"Revoked Key: {key.id}", key=_record(key))

    @router.get("/users/{name:path}/keys", response_model=KeyList, response_model_exclude_unset=True)
    async def list_keys(name: str, limit: PageSize = MAX_PAGE, after: str = "") -> KeyList | Response:
        """List the valid keys of a user, the oldest first, `limit` at a time: those after the id `after`."""
        if await users.read(name) is None:
            return missing_user(name)
        records = [_record(key) for key in await keys.list(name)]
        start = next((place for place, record in enumerate(records, start=1) if record.id == after), 0)
        if after and not start:  # revoked meanwhile: beginning anew would show keys twice
            return _missing_key(after, "after")
        page = records[start : start + limit]
        return KeyList(keys=page, next=page[-1].id) if records[start + limit :] else KeyList(keys=page)

    return router


def _missing_key(key_id: str, param: str) -> Response:
    return problem(HTTPStatus.NOT_FOUND, f"Key: {key_id} does not exist", "key_not_found", param=param)


def _record(key: Key) -> KeyRecord:
    return KeyRecord(**key._asdict())
