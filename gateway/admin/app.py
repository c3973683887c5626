"""The REST interface for administrators (contracts section 2).

Lives here: paths, messages, what each call does.  Not here: validation (bodies), errors (problems), the token (guard).
"""

from collections.abc import Callable, Collection, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.admin.bodies import JsonRoute, UserBody
from gateway.admin.guard import BearerGuard
from gateway.admin.problems import on_defect, on_http_error, on_invalid, on_malformed, on_store_away, problem
from gateway.admin.users import Users
from ratelimit.limits import WINDOW_S, Limiter, MalformedUserError, User

OPEN_PATHS = frozenset({"/healthz"})
"""What a prober without the token may ask."""


class UserAnswer(BaseModel):
    """What happened, and the user as it is stored (as it was, when deleted)."""

    message: str
    user: UserBody


class UserList(BaseModel):
    """Every user, by name."""

    users: list[UserBody]


class UsageAnswer(BaseModel):
    """A user's use of the last `window_s` seconds, and the limits it counts against."""

    name: str
    requests: int
    tokens: int
    rpm: int | None
    tpm: int | None
    window_s: int = WINDOW_S


class Problem(BaseModel):
    """Every answer that is not a 200."""

    message: str
    error: dict[str, Any]


_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (400, 401, 404, 413, 415, 422, 503)
}


def create_admin_app(
    users: Users,
    limiter: Limiter,
    models: Callable[[], Collection[str]],
    *,
    operations: Sequence[Route],
    unavailable: Sequence[type[Exception]],
    token: str = "",
) -> ASGIApp:
    """The application of `listen.admin`.

    `models` names what is served; `operations` are gateway.http.operation_routes; the exceptions `unavailable` (of
    `users` and `limiter`) become 503; with a `token`, everything but /healthz requires it as a bearer token.
    """
    app = FastAPI(
        title="Forebay admin",
        docs_url=None,  # its page loads scripts from elsewhere; /openapi.json is enough
        redoc_url=None,
        exception_handlers={
            HTTPException: on_http_error,
            RequestValidationError: on_invalid,
            MalformedUserError: on_malformed,
            Exception: on_defect,
            **dict.fromkeys(unavailable, on_store_away),
        },
    )
    app.include_router(_user_calls(users))
    app.include_router(_queries(users, limiter, models))
    app.router.routes.extend(operations)
    return BearerGuard(app, token, OPEN_PATHS) if token else app


def _user_calls(users: Users) -> APIRouter:
    """The four calls that the original offers."""
    router = APIRouter(route_class=JsonRoute, responses=_REFUSALS)

    @router.post("/CreateUser", response_model=UserAnswer, response_model_exclude_unset=True)
    async def create_user(body: UserBody) -> UserAnswer:
        """Create a user.  One that exists is returned as it is stored, unchanged."""
        stored, is_new = await users.create(body.user())
        return _answer(f"Created User: {stored.name}" if is_new else f"User: {stored.name} exists", stored)

    @router.post("/ReadUser", response_model=UserAnswer, response_model_exclude_unset=True)
    async def read_user(body: UserBody) -> UserAnswer | Response:
        """Read a user; only `name` matters."""
        return _found(await users.read(body.name), "User", body.name)

    @router.post("/UpdateUser", response_model=UserAnswer, response_model_exclude_unset=True)
    async def update_user(body: UserBody) -> UserAnswer | Response:
        """Replace a user's limits, all: an absent one becomes unlimited.  Binds the very next request."""
        return _found(await users.update(body.user()), "Updated User", body.name)

    @router.post("/DeleteUser", response_model=UserAnswer, response_model_exclude_unset=True)
    async def delete_user(body: UserBody) -> UserAnswer | Response:
        """Delete a user; only `name` matters."""
        return _found(await users.delete(body.name), "Deleted User", body.name)

    return router


def _queries(users: Users, limiter: Limiter, models: Callable[[], Collection[str]]) -> APIRouter:
    router = APIRouter(responses=_REFUSALS)

    @router.get("/users", response_model_exclude_unset=True)
    async def list_users() -> UserList:
        """Every user, by name."""
        return UserList(users=[UserBody.of(user) for user in sorted(await users.list(), key=lambda user: user.name)])

    @router.get("/users/{name:path}/usage", response_model=UsageAnswer)
    async def user_usage(name: str) -> UsageAnswer | Response:
        """What a user has used of the last 60 seconds."""
        usage = await limiter.usage(name)
        if usage is None:
            return _missing(name)
        user = usage.user
        return UsageAnswer(
            name=user.name, requests=usage.requests.used, tokens=usage.tokens.used, rpm=user.rpm, tpm=user.tpm
        )

    @router.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        """The models that are served, in OpenAI's shape."""
        served = [{"id": name, "object": "model", "created": 0, "owned_by": "forebay"} for name in sorted(models())]
        return {"object": "list", "data": served}

    return router


def _found(user: User | None, done: str, name: str) -> UserAnswer | Response:
    return _missing(name) if user is None else _answer(f"{done}: {user.name}", user)


def _missing(name: str) -> Response:
    return problem(HTTPStatus.NOT_FOUND, f"User: {name} does not exist", "user_not_found", param="name")


def _answer(message: str, user: User) -> UserAnswer:
    return UserAnswer(message=message, user=UserBody.of(user))
