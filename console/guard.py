"""The guard of the console: those may look who give the admin token, or without one this machine's users.

Lives here: logging in, sessions.  Not here: foreign hosts and origins (gateway.observability.guard).
"""

import hmac
import secrets
import time
from urllib.parse import parse_qs

from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from console.elements import BASE
from gateway.observability.guard import POLICY_VIOLATION, Guard

COOKIE = "forebay-console"
LASTS_S = 12 * 3600
"""How long a session lasts (chosen: a working day)."""
MOST_SESSIONS = 1000
MAX_FORM_BYTES = 4096
LOGIN = f"{BASE}login"
_FORM = f"""<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Forebay: log in</title><main><h1>Forebay</h1><form method="post" action="{LOGIN}">
<label>Admin token <input name="token" type="password" autofocus required autocomplete="current-password"></label>
<button>Log in</button></form><p role="alert">%s</p></main></html>"""


def guarded(app: ASGIApp, *, token: str) -> ASGIApp:
    """Return the application behind a login, or without a `token` for requests that name this machine alone."""
    if not token:
        return Guard(app, lambda _path: True, "", needs_token=False)
    return Guard(_Login(app, token), lambda _path: True, "", needs_token=False, any_host=True)


class _Login:
    """Lets requests with the cookie of a session in; who sends the token gets one."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()
        self._ends_s: dict[str, float] = {}  # by session, oldest first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or ask for the token."""
        if scope["type"] not in ("http", "websocket") or self._has_session(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            answer = await self._answer(Request(scope, receive))
            await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.url.path == LOGIN and request.method == "POST":
            return await self._logged_in(request)
        if request.method != "GET":
            return PlainTextResponse("log in first", status_code=401)
        return HTMLResponse(_FORM % "") if request.url.path == LOGIN else RedirectResponse(LOGIN, status_code=303)

    async def _logged_in(self, request: Request) -> Response:
        """Return the way to the console with a new session's cookie, which no script and no other site can use."""
        form = b""
        async for piece in request.stream():
            form += piece
            if len(form) > MAX_FORM_BYTES:
                return PlainTextResponse("the form is too long", status_code=413)
        given = parse_qs(form.decode(errors="replace")).get("token", [""])[0].strip().encode()
        if not hmac.compare_digest(given, self._token):
            return HTMLResponse(_FORM % "That is not the admin token.", status_code=401)
        session = secrets.token_urlsafe(32)
        self._ends_s[session] = time.monotonic() + LASTS_S
        if len(self._ends_s) > MOST_SESSIONS:
            del self._ends_s[next(iter(self._ends_s))]
        answer = RedirectResponse(BASE, status_code=303)
        is_secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, session, LASTS_S, httponly=True, samesite="strict", secure=is_secure)
        return answer

    def _has_session(self, scope: Scope) -> bool:
        session = HTTPConnection(scope).cookies.get(COOKIE, "")
        return session in self._ends_s and self._ends_s[session] > time.monotonic()
