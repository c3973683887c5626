"""Whole JSON responses of the routes that do not generate.

Lives here: what routes and control share.  Not here: the content (simulator.openai.responses).
"""

from collections.abc import Awaitable, Callable
from functools import wraps

import orjson
from starlette.requests import Request
from starlette.responses import Response

from simulator.openai.errors import ApiError

Endpoint = Callable[[Request], Awaitable[Response]]


def json_response(body: bytes, status: int = 200) -> Response:
    """Return a JSON response with the headers that vLLM sends."""
    return Response(body, status, {"vary": "Origin"}, "application/json")


def answering_errors(endpoint: Endpoint) -> Endpoint:
    """Return `endpoint` with ApiError turned into an error response."""

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ApiError as error:
            return json_response(orjson.dumps(error.body), error.status)

    return answer


def not_for_pages(endpoint: Endpoint) -> Endpoint:
    """Return `endpoint`, but 403 for a request that a web page makes: it would need no leave for one without a body."""

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        if "origin" in request.headers:
            return json_response(b'{"error":{"message":"web pages must not control an engine","code":403}}', 403)
        return await endpoint(request)

    return answer
