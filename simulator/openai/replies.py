"""Short answers as responses.

Lives here: what http and control share.  Not here: the answers' content.
"""

from collections.abc import Awaitable, Callable
from functools import wraps

import orjson
from starlette.requests import Request
from starlette.responses import Response

from simulator.openai.errors import ApiError

Endpoint = Callable[[Request], Awaitable[Response]]


def json_reply(body: bytes, status: int = 200) -> Response:
    """JSON with the headers that vLLM sends."""
    return Response(body, status, {"vary": "Origin"}, "application/json")


def refusing(endpoint: Endpoint) -> Endpoint:
    """`endpoint` with ApiError as an answer."""

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ApiError as error:
            return json_reply(orjson.dumps(error.body), error.status)

    return answer
