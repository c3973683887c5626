"""Whole JSON responses of the routes that do not generate.

Lives here: what routes and control share.  Not here: the content (simulator.openai.responses).
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from operator import attrgetter
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from simulator.openai.errors import ApiError

ERROR_BODY = attrgetter("body")
"""The body of an error in OpenAI's shape."""

Endpoint = Callable[[Request], Awaitable[Response]]


def json_response(body: bytes, status: int = 200) -> Response:
    """Return a JSON response with the headers that vLLM sends."""
    return Response(body, status, {"vary": "Origin"}, "application/json")


def answering_errors(endpoint: Endpoint, error_body: Callable[[ApiError], Mapping[str, Any]] = ERROR_BODY) -> Endpoint:
    """Return `endpoint` with ApiError turned into an error response, by default in OpenAI's shape."""

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ApiError as error:
            return json_response(orjson.dumps(error_body(error)), error.status)

    return answer


def not_for_pages(endpoint: Endpoint) -> Endpoint:
    """Return `endpoint`, but 403 for a request that a web page makes: it would need no leave for one without a body."""

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        if "origin" in request.headers:
            return json_response(b'{"error":{"message":"web pages must not control an engine","code":403}}', 403)
        return await endpoint(request)

    return answer
