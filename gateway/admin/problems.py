"""The error answers of the admin REST: which status and code each of its errors has.

Lives here: errors and their answers.  Not here: the shape that all of them have (gateway.observability.http).
"""

from collections.abc import Collection, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.config.validation import joined, rule, shown
from gateway.observability.http import problem
from gateway.openai.errors import retry_headers

RETRY_AFTER_S = 1
"""`retry-after` while the store is away, in seconds: the client of Redis reconnects within a second."""

_CODES = {
    HTTPStatus.BAD_REQUEST: "invalid_json",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
}


class Problem(BaseModel):
    """The body of every answer that is not a 200."""

    message: str
    error: dict[str, Any]


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (400, 401, 403, 404, 413, 415, 422, 500, 503)
}


def missing_user(name: str) -> Response:
    """Answer 404: there is no user of that name."""
    return missing("User", name)


def missing(kind: str, name: str, param: str = "name") -> Response:
    """Answer 404: there is nothing of that kind and name."""
    return problem(HTTPStatus.NOT_FOUND, f"{kind}: {name} does not exist", f"{kind.lower()}_not_found", param=param)


def invalid(field: str, value: str, rule_: str) -> Response:
    """Answer 422: a value that breaks a rule which its type does not tell."""
    message = f"{field} = {shown(field, value)}, {rule_}"
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, message, "invalid_value", field)


async def on_http_error(_request: Request, error: HTTPException) -> Response:
    """Answer an HTTP error of routing or of reading the body: 400, 404, 405, 413, 415."""
    code = _CODES.get(HTTPStatus(error.status_code), "invalid_request")
    return problem(error.status_code, error.detail, code, headers=error.headers)


async def on_invalid(request: Request, error: RequestValidationError) -> Response:
    """Answer 422: the JSON is valid and some values are not; the message names them all, `param` the first."""
    details: Sequence[Any] = error.errors()
    body = request.scope["route"].body_field
    known = body.field_info.annotation.model_fields if body else ()
    message = "; ".join(_sentence(detail, known) for detail in details)
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, message, "invalid_value", _key(details[0]) or None)


async def on_store_away(_request: Request, _error: Exception) -> Response:
    """Answer 503: the store is away."""
    headers = dict(retry_headers(RETRY_AFTER_S))
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "Redis does not answer", "service_unavailable", headers=headers)


async def on_malformed(_request: Request, error: Exception) -> Response:
    """Answer 500: the stored value is not a valid user record.  An update repairs it."""
    message = f"User: {error} is stored in a form that cannot be read; UpdateUser repairs it"
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, message, "broken_user", param="name")


async def on_defect(_request: Request, _error: Exception) -> Response:
    """Answer 500 to an unexpected exception; the server logs the traceback."""
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error", "internal_error")


def _key(detail: ErrorDetails) -> str:
    return joined(detail["loc"][1:])  # without the leading "body"


def _sentence(detail: ErrorDetails, known: Collection[str]) -> str:
    key = _key(detail)
    if detail["type"] == "missing":
        return f"{key or 'the body'} is missing"
    if detail["type"] == "extra_forbidden":
        return f"{key} is unknown" + (f", known fields: {', '.join(known)}" if key in detail["loc"] else "")
    return f"{key or 'the body'} = {shown(key, detail['input'])}, {rule(detail)}"
