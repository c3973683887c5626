"""The request bodies of the admin REST: their fields, and reading them as JSON of a limited size."""

import unicodedata
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import parse_qsl

import orjson
from fastapi import Query
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, create_model
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.observability.http import problem
from ratelimit.accounts.names import checked_name
from ratelimit.accounts.records import shown_budgets, shown_policy
from ratelimit.kinds import MODEL_KINDS, NANO, USER_BUDGETS, USER_FIELDS, USER_KINDS, Amounts, LimitKind
from ratelimit.limits import MAX_LIMIT, MAX_NAME_BYTES, Policy, Rates, Reserve, User, shown_limits

MAX_BODY_BYTES = 1024 * 1024
"""The largest request body, in bytes (chosen); a larger one answers 413."""


def _stored_name(name: str) -> str:
    if not 1 <= len(name.encode(errors="replace")) <= MAX_NAME_BYTES:
        message = f"must be 1 to {MAX_NAME_BYTES} bytes of UTF-8"
        raise ValueError(message)
    if any(unicodedata.category(character) == "Cc" for character in name):
        message = "must not contain control characters"
        raise ValueError(message)
    return name


Name = Annotated[str, AfterValidator(checked_name)]
"""The name of a new user or key."""
StoredName = Annotated[str, AfterValidator(_stored_name)]
"""A name by which something stored is found: also one that today's rule for new names would not allow."""
Limit = Annotated[StrictInt, Field(ge=0, le=MAX_LIMIT)]


def _countable(money: float) -> float:
    if 0 < money < 1 / NANO:
        message = f"must be 0, or at least {1 / NANO:.9f}"
        raise ValueError(message)
    return money


Money = Annotated[float, Field(strict=True, ge=0, le=MAX_LIMIT // NANO), AfterValidator(_countable)]
"""An amount of the currency of the prices."""


MAX_PAGE = 1000
"""The most items of one page of a list, and how many it has when nothing is said (chosen: a tenth of a second)."""
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class _NamedBody(_Body):
    name: StoredName
    """1 to 256 bytes of UTF-8 without control characters."""


def _with_fields(name: str, base: type[_Body], fields: dict[str, Any]) -> Any:
    return create_model(name, __base__=base, __module__=__name__, **fields)


def _with_limits(name: str, base: type[_Body], kinds: Sequence[LimitKind]) -> Any:
    """Return a body with a field for each kind of limit."""
    limits = {kind.field: (Limit | None, Field(None, description=_described(kind))) for kind in kinds}
    return _with_fields(name, base, limits)


def _described(kind: LimitKind) -> str:
    shown = "" if kind.always_shown else "  Shown when set."
    return f"{kind.meaning}; absent or null: unlimited, 0: none.{shown}"


class ModelBody(_with_limits("ModelLimits", _Body, MODEL_KINDS)):  # type: ignore[misc]  # the table of kinds makes it
    """A user's limits for one model."""


def _described_budgets() -> Any:
    """Return a body with a field for each budget."""
    types = {kind: (Money if kind.unit == "cost" else Limit) for kind in USER_BUDGETS}
    fields = {kind.field: (types[kind] | None, Field(None, description=_described(kind))) for kind in USER_BUDGETS}
    return _with_fields("BudgetFields", _Body, fields)


class BudgetsBody(_described_budgets()):  # type: ignore[misc]  # the table of kinds makes it
    """The most tokens and money of a calendar day and month, in UTC."""

    def budgets(self) -> dict[str, int]:
        """Return the budgets that are limited, money in NANO of its unit."""
        said = {kind: getattr(self, kind.field) for kind in USER_BUDGETS}
        factors = {kind: NANO if kind.unit == "cost" else 1 for kind in USER_BUDGETS}
        return {kind.field: round(limit * factors[kind]) for kind, limit in said.items() if limit is not None}


class PolicyBody(_with_limits("PolicyLimits", _Body, USER_FIELDS)):  # type: ignore[misc]  # the table of kinds makes it
    """The limits of a group, or of an API key under those of its user."""

    budgets: BudgetsBody = Field(default_factory=BudgetsBody)
    """Budgets of a day and a month.  Shown when set."""

    @staticmethod
    def fields_of(policy: Policy) -> dict[str, Any]:
        """Return the fields of a stored policy, without validation."""
        fields = shown_policy(policy)
        if policy.budgets:
            fields["budgets"] = BudgetsBody.model_construct(**fields["budgets"])
        return fields

    def policy(self) -> Policy:
        """Return the value that the store keeps."""
        return Policy(**_limits(self, USER_FIELDS), budgets=self.budgets.budgets())


class UserBody(_with_limits("UserLimits", _NamedBody, USER_FIELDS)):  # type: ignore[misc]  # the table of kinds makes it
    """A user as clients send and receive it."""

    models: dict[Annotated[str, Field(min_length=1)], ModelBody] = Field(default_factory=dict)
    """Further limits on requests for a model, by the model's name.  An answer has it only when set."""
    budgets: BudgetsBody = Field(default_factory=BudgetsBody)
    """Budgets of a day and a month.  Shown when set."""
    reserve: Reserve | None = None
    """How much each request reserves; absent or null: as the setting `limits.reserve` says.  Shown when set."""
    group: Annotated[str, Field(max_length=MAX_NAME_BYTES)] | None = None
    """A group that exists, whose limits the user's requests count against too.  Shown when set."""

    @classmethod
    def of(cls, user: User) -> "UserBody":
        """Return a stored user without validation: records that other programs wrote must stay readable."""
        fields: dict[str, Any] = {"name": user.name, **shown_limits(user, USER_FIELDS)}
        if user.models:
            rates = {model: shown_limits(rates, MODEL_KINDS) for model, rates in user.models.items()}
            fields["models"] = {model: ModelBody.model_construct(**limits) for model, limits in rates.items()}
        if user.budgets:
            fields["budgets"] = BudgetsBody.model_construct(**shown_budgets(user.budgets))
        fields |= {name: value for name in ("reserve", "group") if (value := getattr(user, name))}
        body: UserBody = cls.model_construct(**fields)
        return body

    def user(self) -> User:
        """Return the value that the store keeps."""
        models = {model: Rates(**_limits(body, MODEL_KINDS)) for model, body in self.models.items()}
        return User(
            self.name,
            **_limits(self, USER_FIELDS),
            models=models,
            budgets=self.budgets.budgets(),
            reserve=self.reserve,
            group=self.group or "",
        )


class NewUserBody(UserBody):
    """A user to create."""

    name: Name
    """1 to 256 bytes of UTF-8 without control, bidi or zero-width characters, commas, or blanks at either end."""


def _limits(body: BaseModel, kinds: Sequence[LimitKind]) -> dict[str, Any]:
    return {kind.field: getattr(body, kind.field) for kind in kinds}


UsageAnswer = create_model(
    "UsageAnswer",
    __doc__="A user's use of the last `window_s` seconds, and the limits it counts against.",
    name=(str, ...),
    **{kind.unit: (int, ... if kind.always_shown else 0) for kind in USER_KINDS},
    **{kind.field: (int | None, ... if kind.always_shown else None) for kind in USER_KINDS},
    window_s=(int, ...),
    budgets=(dict[str, dict[str, Any]], {}),
)  # type: ignore[call-overload]  # the fields are those of gateway.openai.answers.usage_record


class CheckBody(_Body):
    """A request to check."""

    tokens: Limit
    """Estimated tokens of prompt and output together."""
    model: str = ""
    """The model of the request, for the user's limits on that model."""
    cost: Money = 0.0
    """Its cost, for budgets in money."""

    def amounts(self) -> Amounts:
        """Return the amounts of one request."""
        return Amounts(1, self.tokens, round(self.cost * NANO))


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
    """A route that refuses a body without the content type of JSON, and a query with names that it does not have."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler with the checks of content type and size, or of the query."""
        handle = super().get_route_handler()
        known = sorted(parameter.alias for parameter in self.dependant.query_params)

        async def handle_query(request: Request) -> Response:
            wrong = _wrong_query(request.scope["query_string"], known)
            return await handle(request) if wrong is None else wrong

        if self.body_field is None:
            return handle_query if known else handle

        async def handle_json(request: Request) -> Response:
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if media_type != "application/json":
                raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-type must be application/json")
            return await handle(_CappedRequest(request.scope, request.receive))

        return handle_json


def _wrong_query(query: bytes, known: Sequence[str]) -> Response | None:
    """Return the answer to a query string that is not UTF-8 or has other names than these; None = it is right."""
    try:
        names = [name for name, _ in parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")]
    except UnicodeDecodeError:
        return problem(HTTPStatus.BAD_REQUEST, "the query is not UTF-8 in percent-encoding", "invalid_query")
    unknown = next((name for name in names if name not in known), None)
    if unknown is None:
        return None
    message = f"{unknown[:MAX_NAME_BYTES]} is unknown in the query, known names: {', '.join(known)}"
    return problem(HTTPStatus.BAD_REQUEST, message, "invalid_query", param=unknown[:MAX_NAME_BYTES])
