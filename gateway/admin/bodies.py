"""What may be sent to the admin interface and how it is read: capped, JSON only, strictly typed."""

import unicodedata
from collections.abc import AsyncGenerator, Callable, Coroutine
from http import HTTPStatus
from typing import Annotated, Any

import orjson
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ratelimit.limits import Rates, User

MAX_BODY_BYTES = 1024 * 1024
MAX_NAME_BYTES = 256
MAX_LIMIT = 2**53
"""Every JSON reader holds integers up to here exactly (RFC 8259, section 6)."""


def _name(name: str) -> str:
    if not 1 <= len(name.encode()) <= MAX_NAME_BYTES:
        message = f"must be 1 to {MAX_NAME_BYTES} bytes of UTF-8"
        raise ValueError(message)
    if any(unicodedata.category(character) == "Cc" for character in name):
        message = "must not contain control characters"
        raise ValueError(message)
    return name


Name = Annotated[str, AfterValidator(_name)]
Limit = Annotated[StrictInt, Field(ge=0, le=MAX_LIMIT)]


class ModelBody(BaseModel):
    """A user's limits for one model."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    rpm: Limit | None = None
    """Requests in any 60 seconds; absent or null: unlimited, 0: none."""
    tpm: Limit | None = None
    """Tokens in any 60 seconds; absent or null: unlimited, 0: none."""


class UserBody(BaseModel):
    """A user as clients send and receive it."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: Name
    """1 to 256 bytes of UTF-8 without control characters."""
    rpm: Limit | None = None
    """Requests in any 60 seconds; absent or null: unlimited, 0: none."""
    tpm: Limit | None = None
    """Tokens in any 60 seconds, prompt and output together; absent or null: unlimited, 0: none."""

    concurrency: Limit | None = None
    """Requests at the same time; absent or null: unlimited, 0: none.  Shown when set."""
    models: dict[Annotated[str, Field(min_length=1)], ModelBody] = Field(default_factory=dict)
    """Further limits on what goes to a model, by its name.  Shown when set."""

    @classmethod
    def of(cls, user: User) -> "UserBody":
        """As stored, unchecked: records written by others must still be readable."""
        fields: dict[str, Any] = {"name": user.name, "rpm": user.rpm, "tpm": user.tpm}
        if user.concurrency is not None:
            fields["concurrency"] = user.concurrency
        if user.models:
            models = user.models.items()
            fields["models"] = {model: ModelBody.model_construct(rpm=r.rpm, tpm=r.tpm) for model, r in models}
        return cls.model_construct(**fields)

    def user(self) -> User:
        """The value that the store keeps."""
        models = {model: Rates(rates.rpm, rates.tpm) for model, rates in self.models.items()}
        return User(self.name, self.rpm, self.tpm, self.concurrency, models)


class CheckBody(BaseModel):
    """What a request would be charged."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    tokens: Limit
    """Prompt and output together."""
    model: str = ""
    """Where it would go, for what limits the user there."""


class _CappedRequest(Request):
    """A request that is refused as soon as its body is known to be too large, and is JSON."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        size = int(self.headers.get("content-length", 0))  # the server has refused what is not a number
        if size > MAX_BODY_BYTES:
            raise _too_large()
        size = 0
        async for piece in super().stream():
            size += len(piece)
            if size > MAX_BODY_BYTES:
                raise _too_large()
            yield piece

    async def json(self) -> Any:
        try:
            return orjson.loads(await self.body())
        except orjson.JSONDecodeError as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}") from error


def _too_large() -> HTTPException:
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is over {MAX_BODY_BYTES} bytes")


class JsonRoute(APIRoute):
    """A route whose body, if it has one, must say that it is JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook for changing the request before it is read."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def handle_json(request: Request) -> Response:
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if media_type != "application/json":
                raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-type must be application/json")
            return await handle(_CappedRequest(request.scope, request.receive))

        return handle_json
