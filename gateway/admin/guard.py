"""The check of the admin token, before a request is routed or its body read."""

import hmac
from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.admin.problems import problem


class BearerGuard:
    """ASGI middleware: 401 without `authorization: Bearer TOKEN`, except on the open paths."""

    def __init__(self, app: ASGIApp, token: str, open_paths: Collection[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or answer 401."""
        if scope["type"] != "http" or scope["path"] in self._open_paths or self._is_authorized(scope):
            await self._app(scope, receive, send)
            return
        headers = {"www-authenticate": "Bearer"}
        refusal = problem(401, "the admin token is missing or wrong", "invalid_api_key", headers=headers)
        await refusal(scope, receive, send)

    def _is_authorized(self, scope: Scope) -> bool:
        """Return whether the only `authorization` header has the token, compared in constant time."""
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(values) != 1:
            return False
        scheme, _, token = values[0].partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)
