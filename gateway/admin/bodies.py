"""The request bodies of the admin REST: their fields, and reading them as JSON of a limited size."""

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
"""The largest request body, in bytes (chosen); a larger one answers 413."""
MAX_NAME_BYTES = 256
"""The longest user name, in bytes of UTF-8 (contracts section 2)."""
MAX_LIMIT = 2**53
"""The largest limit; every JSON reader keeps integers up to here exactly (RFC 8259, section 6)."""


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
    """Requests in any 60 seconds; absent or null = unlimited, 0 = none."""
    tpm: Limit | None = None
    """Tokens in any 60 seconds; absent or null = unlimited, 0 = none."""


class UserBody(BaseModel):
    """A user as clients send and receive it."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: Name
    """1 to 256 bytes of UTF-8 without control characters."""
    rpm: Limit | None = None
    """Requests in any 60 seconds; absent or null = unlimited, 0 = none."""
    tpm: Limit | None = None
    """Tokens in any 60 seconds, prompt and output together; absent or null = unlimited, 0 = none."""

    concurrency: Limit | None = None
    """Requests at the same time; absent or null = unlimited, 0 = none.  An answer has it only when set."""
    models: dict[Annotated[str, Field(min_length=1)], ModelBody] = Field(default_factory=dict)
    """Further limits on requests for a model, by the model's name.  An answer has it only when set."""

    @classmethod
    def of(cls, user: User) -> "UserBody":
        """Return a stored user without validation: records that other programs wrote must stay readable."""
        fields: dict[str, Any] = {"name": user.name, "rpm": user.rpm, "tpm": user.tpm}
        if user.concurrency is not None:
            fields["concurrency"] = user.concurrency
        if user.models:
            models = user.models.items()
            fields["models"] = {model: ModelBody.model_construct(rpm=r.rpm, tpm=r.tpm) for model, r in models}
        return cls.model_construct(**fields)

    def user(self) -> User:
        """Return the user as the store takes it."""
        models = {model: Rates(rates.rpm, rates.tpm) for model, rates in self.models.items()}
        return User(self.name, self.rpm, self.tpm, self.concurrency, models)


class CheckBody(BaseModel):
    """A request to check."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    tokens: Limit
    """Estimated tokens of prompt and output together."""
    model: str = ""
    """The model of the request, for the user's limits on that model."""


class _CappedRequest(Request):
    """A request with a JSON body, refused as soon as the body is known to be too large."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        size = int(self.headers.get("content-length", 0))  # uvicorn refuses one that is not a number
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
    """A route that refuses a body without the content type of JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler with the checks of content type and size."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def handle_json(request: Request) -> Response:
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if media_type != "application/json":
                raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-type must be application/json")
            return await handle(_CappedRequest(request.scope, request.receive))

        return handle_json
