"""The check of requests to the HTTP interfaces of operators, by headers, before a request is routed or its body read.

Lives here: the admin token, and what stands in for it on loopback.  Not here: which paths need it (the functions at
the end say so), listening on loopback (gateway.config.checks).

Only this machine reaches loopback, but a web page in one of its browsers does too.  DNS rebinding lets such a page read
our answers: its own host name then means our address.  So without a token the header `Host` must be a name that always
means this machine, and `Origin`, which pages of other sites send, must not be foreign.
"""

import hmac
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.config.addresses import is_loopback
from gateway.config.validation import shown
from gateway.observability.http import Json, problem

_PROBES = frozenset({"/healthz", "/readyz", "/readyz/gateway"})
"""Paths of listen.http for probes, which send the pod's address as `Host`; they tell nothing."""
POLICY_VIOLATION = 1008
"""The code of a web socket that is closed because of who asks (RFC 6455, section 7.4.1)."""
_READING = frozenset({"GET", "HEAD"})
_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9.-]+?)\.?)(?::[0-9]*)?")


class Guard:
    """ASGI middleware: 401 where the token is needed and missing, 403 for a host or an origin that is not ours."""

    def __init__(
        self, app: ASGIApp, is_guarded: Callable[[str], bool], token: str, *, needs_token: bool, any_host: bool = False
    ) -> None:
        self._app = app
        self._is_guarded = is_guarded  # by path
        self._token = token.encode()
        self._needs_token = needs_token
        self._any_host = any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it; a web socket that is refused is closed before it opens."""
        is_checked = scope["type"] in ("http", "websocket") and self._is_guarded(scope["path"])
        refusal = self._refusal(scope) if is_checked else None
        if refusal is not None and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Json | None:
        if self._token and self._is_authorized(scope):
            return None
        if self._needs_token:
            headers = {"www-authenticate": "Bearer"}
            return problem(401, "the admin token is missing or wrong", "invalid_api_key", headers=headers)
        hosts = _values(scope, b"host")
        for host in () if self._any_host else hosts:
            if not _is_this_machine(host):
                message = f"host = {shown('host', host)}, must be localhost, 127.0.0.1 or [::1] without an admin token"
                return problem(403, message, "forbidden_host")
        for origin in _values(scope, b"origin"):
            site = _site(origin)
            if not _is_this_machine(site) and not (self._any_host and site in hosts):
                message = f"origin = {shown('origin', origin)}, must be this machine without an admin token"
                return problem(403, message, "forbidden_origin")
        return None

    def _is_authorized(self, scope: Scope) -> bool:
        """Return whether the only `authorization` header has the token, compared in constant time."""
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(values) != 1:
            return False
        scheme, _, token = values[0].partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)


def admin_guarded(app: ASGIApp, token: str, *, any_host: bool) -> ASGIApp:
    """Guard the admin REST: with a token all but / and /healthz needs it; `any_host` lets requests in by any name."""
    unguarded = {"/", "/healthz"} if token else {"/healthz"}  # both tell nothing about users
    return Guard(app, lambda path: path not in unguarded, token, needs_token=bool(token), any_host=any_host)


def pages_guarded(app: ASGIApp, token: str, *, on_loopback: bool) -> ASGIApp:
    """Guard `listen.http`: on loopback all but the probes; on another address /debug, which needs the token if any.

    On another address /metrics stays open, because Prometheus asks for it by the pod's address.
    """
    if on_loopback:
        return Guard(app, lambda path: path not in _PROBES, token, needs_token=False)
    return Guard(app, lambda path: path.startswith("/debug"), token, needs_token=bool(token))


def calls_guarded(app: ASGIApp, token: str, *, on_loopback: bool, is_open: bool) -> ASGIApp:
    """Guard an address that other programs read: on loopback as `listen.http`; elsewhere reading is open, and changes
    (all methods but GET and HEAD) need the token.

    Without a token nobody there makes changes, unless `is_open`: then everybody does who is no page of another site.
    """
    if on_loopback:
        return pages_guarded(app, token, on_loopback=True)
    changes = Guard(app, lambda _path: True, token, needs_token=not is_open, any_host=True)

    async def by_method(scope: Scope, receive: Receive, send: Send) -> None:
        is_change = scope["type"] == "http" and scope["method"] not in _READING
        await (changes if is_change else app)(scope, receive, send)

    return by_method


def _values(scope: Scope, header: bytes) -> list[str]:
    return [value.decode("latin-1").lower() for name, value in scope["headers"] if name == header]


def _site(origin: str) -> str:
    """Return the host and port of an origin, empty when it has none: `null`, or no URL."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _is_this_machine(host: str) -> bool:
    """Return whether `host` or `host:port` always means this machine, so that no DNS server decides where it leads."""
    match = _HOST.fullmatch(host)
    return match is not None and is_loopback(match["v6"] or match["name"])
