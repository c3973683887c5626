"""The admin calls about API keys.

Lives here: their bodies, their answers, and the protocol of the store.  Not here: the store (ratelimit.accounts.keys).
"""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol

from fastapi import APIRouter
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response

from gateway.admin.bodies import MAX_PAGE, JsonRoute, Name, PageSize, PolicyBody, StoredName
from gateway.admin.problems import REFUSALS, invalid, missing, missing_user
from gateway.admin.users import Users
from gateway.openai.answers import ModelCard, usage_record
from ratelimit.accounts.keys import NO_TERMS, Key, Terms
from ratelimit.limits import Limiter


class Keys(Protocol):
    """The store of API keys; `ratelimit.accounts.keys` implements it on Redis.

    Every method may raise the store's unavailability error.
    """

    async def create(self, user: str, name: str, terms: Terms = NO_TERMS) -> tuple[str, Key]:
        """Make a key; return its secret, which is not stored, and its record."""
        ...

    async def update(self, user: str, key_id: str, name: str, terms: Terms) -> Key | None:
        """Replace what may change of a key and return it; None = the user has no such key."""
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


MAX_MODELS = 1000
"""The most models that a key may be limited to (chosen: more than a gateway serves)."""


def _moment(value: object) -> object:
    """Read a time that says its zone: as a number, or without a zone, it could be meant as another one."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    message = "must be a time with its offset from UTC, as 2030-01-31T12:00:00Z or 2030-01-31T12:00:00+02:00"
    raise ValueError(message)


Expiry = Annotated[datetime, BeforeValidator(_moment)]


class _KeyTerms(PolicyBody):
    """The user of a key, and what an administrator says of it: its limits under those of the user, too."""

    user: StoredName
    """The user that the key identifies; must exist."""
    name: Name = ""
    """A label for people, to tell the key from others."""
    expires_at: Expiry | None = None
    """The end of the key, with an offset from UTC; absent or null: never."""
    models: Annotated[list[str], Field(min_length=1, max_length=MAX_MODELS)] | None = None
    """The only models that the key may be used for, which must exist; absent or null: any."""

    def terms(self) -> Terms:
        """Return what the store takes."""
        expires_at = None if self.expires_at is None else int(self.expires_at.timestamp())
        return Terms(expires_at, None if self.models is None else tuple(dict.fromkeys(self.models)), self.policy())


class NewKey(_KeyTerms):
    """The user and the purpose of a new key."""


class KeyChange(_KeyTerms):
    """The choice of one key, and all that is to be true of it."""

    id: str
    """The id of the key, as CreateKey returned it and the list shows it."""


class KeyChoice(BaseModel):
    """The choice of one key."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    user: StoredName
    """The user of the key."""
    id: str
    """The id of the key, as CreateKey returned it and the list shows it."""


class KeyRecord(PolicyBody):
    """A key without its secret; `expires_at`, `models`, limits and budgets where it has them."""

    id: str
    user: str
    name: str
    created: int
    last4: str
    expires_at: datetime | None = None
    models: list[str] | None = None


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


def key_calls(
    users: Users, keys: Keys, limiter: Limiter, models: Callable[[], Collection[ModelCard]], clock: Callable[[], float]
) -> APIRouter:
    """Make the calls that create, change, list and revoke keys.

    `models` are those that a key may be limited to; `clock`, in seconds since 1970, tells which time is in the future.
    """
    router = APIRouter(route_class=JsonRoute, responses=REFUSALS)

    @router.post("/CreateKey", response_model=NewKeyAnswer, response_model_exclude_unset=True)
    async def create_key(body: NewKey) -> NewKeyAnswer | Response:
        """Make a key.  It works at once, is shown only here, and is valid until it expires, is revoked, or its user is
        deleted."""
        if (wrong := _impossible(body, models(), clock())) is not None:
            return wrong
        if await users.read(body.user) is None:
            return missing_user(body.user)
        secret, key = await keys.create(body.user, body.name, body.terms())
        if await users.read(body.user) is None:  # deleted meanwhile, perhaps after DeleteUser revoked the keys
            await keys.revoke(body.user, key.id)
            return missing_user(body.user)
        return NewKeyAnswer(message=f"Created Key: {key.id}", key=_record(key), secret=secret)

    @router.post("/UpdateKey", response_model=KeyAnswer, response_model_exclude_unset=True)
    async def update_key(body: KeyChange) -> KeyAnswer | Response:
        """Replace the name and the terms of a key: an absent one is taken off.  Every worker obeys within a second."""
        if (wrong := _impossible(body, models(), clock())) is not None:
            return wrong
        key = await keys.update(body.user, body.id, body.name, body.terms())
        if key is None:
            return missing("Key", body.id, "id")
        return KeyAnswer(message=f"Updated Key: {key.id}", key=_record(key))

    @router.post("/RevokeKey", response_model=KeyAnswer, response_model_exclude_unset=True)
    async def revoke_key(body: KeyChoice) -> KeyAnswer | Response:
        """Revoke a key; every worker refuses it within a second."""
        key = await keys.revoke(body.user, body.id)
        if key is None:
            return missing("Key", body.id, "id")
        return KeyAnswer(message=f"Revoked Key: {key.id}", key=_record(key))

    @router.get("/users/{name:path}/keys", response_model=KeyList, response_model_exclude_unset=True)
    async def list_keys(name: str, limit: PageSize = MAX_PAGE, after: str = "") -> KeyList | Response:
        """List the valid keys of a user, the oldest first, `limit` at a time: those after the id `after`."""
        if await users.read(name) is None:
            return missing_user(name)
        records = [_record(key) for key in await keys.list(name)]
        start = next((place for place, record in enumerate(records, start=1) if record.id == after), 0)
        if after and not start:  # revoked meanwhile: beginning anew would show keys twice
            return missing("Key", after, "after")
        page = records[start : start + limit]
        return KeyList(keys=page, next=page[-1].id) if records[start + limit :] else KeyList(keys=page)

    @router.get("/users/{name:path}/keys/{key_id}/usage")
    async def key_usage(name: str, key_id: str) -> Any:
        """Read what was used with a key that has limits, in the last 60 seconds and of its budgets."""
        usage = await limiter.usage(name, key_id)
        return missing("Key", key_id, "id") if usage is None else usage_record(usage)

    return router


def _impossible(body: _KeyTerms, models: Collection[ModelCard], now_s: float) -> Response | None:
    """Return the answer to terms of the past, or that name a model which does not exist; None = they can be kept."""
    if body.expires_at is not None and body.expires_at.timestamp() <= now_s:
        return invalid("expires_at", body.expires_at.isoformat(), "must be in the future")
    existing = {card.name for card in models}
    for place, name in enumerate(body.models or ()):
        if name not in existing:
            return invalid(f"models[{place}]", name, "must be a model that exists")
    return None


def _record(key: Key) -> KeyRecord:
    fields: dict[str, Any] = {**key._asdict(), **PolicyBody.fields_of(key.terms.policy)}
    del fields["terms"]
    if key.terms.expires_at is not None:
        fields["expires_at"] = datetime.fromtimestamp(key.terms.expires_at, UTC)
    if key.terms.models is not None:
        fields["models"] = list(key.terms.models)
    record: KeyRecord = KeyRecord.model_construct(**fields)
    return record
