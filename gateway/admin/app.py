"""The admin REST (docs/contracts.md section 2).

Lives here: paths, messages, what each call does.  Not here: validation (bodies), errors (problems), the token
(gateway.observability.guard).
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.adapters.desk import AdapterError, Desk
from gateway.admin.adapters import adapter_calls, on_adapter_error
from gateway.admin.bodies import MAX_PAGE, CheckBody, JsonRoute, NewUserBody, PageSize, UsageAnswer, UserBody
from gateway.admin.groups import Groups, group_calls
from gateway.admin.keys import Keys, key_calls
from gateway.admin.problems import (
    REFUSALS,
    invalid,
    missing_user,
    on_defect,
    on_http_error,
    on_invalid,
    on_malformed,
    on_store_away,
)
from gateway.admin.users import Users
from gateway.observability.guard import admin_guarded
from gateway.openai.answers import ModelCard, check_record, models_list, usage_record
from ratelimit.limits import Charge, Limiter, MalformedUserError, UnknownUser, User

CALLS = {
    "POST /CreateUser": 'make a user: {"name": "lgy", "rpm": 3, "tpm": 1000}; likewise Read, Update and DeleteUser',
    "POST /CreateKey": 'make an API key: {"user": "lgy"}; UpdateKey changes and RevokeKey revokes one',
    "POST /LoadAdapter": 'load a LoRA adapter: {"model", "name", "path"}; UnloadAdapter unloads, GET /adapters lists',
    "GET /users": "all users; /users/NAME/usage and /users/NAME/keys say more",
    "PUT /groups/NAME": 'limits that users share: {"tpm": 1000}; users name it as "group"; GET and DELETE, too',
    "GET /openapi.json": "every call",
}
"""The most needed calls, for people."""


class UserAnswer(BaseModel):
    """The answer to a change: a message, and the user as stored, or as it was before it was deleted."""

    message: str
    user: UserBody


class UserList(BaseModel):
    """Users, sorted by name."""

    users: list[UserBody]
    next: str = ""
    """The `after` of the next page; there is none when it is absent."""


class CheckAnswer(BaseModel):
    """Whether a request would be admitted now; if not, which limit refuses it and for how long."""

    admitted: bool
    kind: str | None
    limit: int | float | None
    retry_after_s: float | None
    estimated_tokens: int


def create_admin_app(
    users: Users,
    keys: Keys,
    groups: Groups,
    limiter: Limiter,
    models: Callable[[], Collection[ModelCard]],
    *,
    operations: Sequence[Route],
    unavailable: Sequence[type[Exception]],
    adapters: Desk,
    clock: Callable[[], float],
    token: str = "",
    any_host: bool = False,
) -> ASGIApp:
    """Make the application of `listen.admin`.

    `models` returns the names of the models that are served; `operations` are further routes, from
    gateway.observability.http; the exceptions `unavailable`, of `users` and `limiter`, become 503.  `clock` is in
    seconds since 1970.
    With a `token`, every path but / and /healthz requires it as a bearer token.  Without one the header `Host` must be
    a name of loopback, unless `any_host`.
    """
    app = FastAPI(
        title="Forebay admin",
        docs_url=None,  # that page loads scripts from another host; /openapi.json is enough
        redoc_url=None,
        exception_handlers={
            HTTPException: on_http_error,
            RequestValidationError: on_invalid,
            MalformedUserError: on_malformed,
            AdapterError: on_adapter_error,
            Exception: on_defect,
            **dict.fromkeys(unavailable, on_store_away),
        },
    )
    app.include_router(_user_calls(users, keys, groups))
    app.include_router(key_calls(users, keys, limiter, models, clock))
    app.include_router(group_calls(groups, limiter))
    app.include_router(adapter_calls(adapters))
    app.include_router(_queries(users, limiter, models))
    app.router.routes.extend(operations)
    _declare_token(app, is_needed=bool(token))
    return admin_guarded(app, token, any_host=any_host)


def _declare_token(app: FastAPI, *, is_needed: bool) -> None:
    """Say in /openapi.json how the token is sent, and whether it must be."""
    schema = app.openapi()
    schema["components"]["securitySchemes"] = {"adminToken": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{"adminToken": []}] if is_needed else []


def _user_calls(users: Users, keys: Keys, groups: Groups) -> APIRouter:
    """Make the four calls that AIBrix has."""
    router = APIRouter(route_class=JsonRoute, responses=REFUSALS)

    @router.post("/CreateUser", response_model=UserAnswer, response_model_exclude_unset=True)
    async def create_user(body: NewUserBody) -> UserAnswer | Response:
        """Create a user.  A user that exists is not changed and is returned as stored."""
        if body.group and await groups.get(body.group) is None:
            return _no_group(body.group)
        stored, is_new = await users.create(body.user())
        return _answer(f"Created User: {stored.name}" if is_new else f"User: {stored.name} exists", stored)

    @router.post("/ReadUser", response_model=UserAnswer, response_model_exclude_unset=True)
    async def read_user(body: UserBody) -> UserAnswer | Response:
        """Read a user; fields other than `name` are ignored."""
        return _found(await users.read(body.name), "User", body.name)

    @router.post("/UpdateUser", response_model=UserAnswer, response_model_exclude_unset=True)
    async def update_user(body: UserBody) -> UserAnswer | Response:
        """Replace all limits of a user: an absent one becomes unlimited.  The next request obeys the new ones."""
        if body.group and await groups.get(body.group) is None:
            return _no_group(body.group)
        return _found(await users.update(body.user()), "Updated User", body.name)

    @router.post("/DeleteUser", response_model=UserAnswer, response_model_exclude_unset=True)
    async def delete_user(body: UserBody) -> UserAnswer | Response:
        """Delete a user and revoke the user's keys; fields other than `name` are ignored."""
        deleted = await users.delete(body.name)
        await keys.revoke_all(body.name)  # even without a user, so that a call that failed here can be repeated
        return _found(deleted, "Deleted User", body.name)

    return router


def _queries(users: Users, limiter: Limiter, models: Callable[[], Collection[ModelCard]]) -> APIRouter:
    router = APIRouter(route_class=JsonRoute, responses=REFUSALS)

    @router.get("/users", response_model_exclude_unset=True)
    async def list_users(limit: PageSize = MAX_PAGE, after: str = "") -> UserList:
        """List users by name, `limit` at a time: the first after the name `after`."""
        found = await users.list(after, limit + 1)
        page = [UserBody.of(user) for user in found[:limit]]
        return UserList(users=page, next=found[limit - 1].name) if len(found) > limit else UserList(users=page)

    @router.get("/users/{name:path}/usage", response_model=UsageAnswer, response_model_exclude_unset=True)
    async def user_usage(name: str) -> dict[str, Any] | Response:
        """Read what a user has used in the last 60 seconds."""
        usage = await limiter.usage(name)
        return missing_user(name) if usage is None else usage_record(usage)

    @router.post("/users/{name:path}/check", response_model=CheckAnswer)
    async def check(name: str, body: CheckBody) -> CheckAnswer | Response:
        """Check whether a request of the user would be admitted now; it is not charged."""
        verdict = await limiter.check(Charge(name, body.amounts(), body.model))
        if isinstance(verdict, UnknownUser):
            return missing_user(name)
        return CheckAnswer(**check_record(verdict, body.tokens))

    @router.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        """List the models that are served, in OpenAI's shape."""
        return models_list(sorted(models()))

    return router


def _no_group(name: str) -> Response:
    return invalid("group", name, "must be a group that exists")


def _found(user: User | None, done: str, name: str) -> UserAnswer | Response:
    return missing_user(name) if user is None else _answer(f"{done}: {user.name}", user)


def _answer(message: str, user: User) -> UserAnswer:
    return UserAnswer(message=message, user=UserBody.of(user))
