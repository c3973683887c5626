"""Calls of a gateway's HTTP addresses, `listen.http` and `listen.admin`, and the words for what they refuse.

Lives here: the request, the token, errors.  Not here: what is asked, the other side (gateway.admin).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, Request, build_opener

TIMEOUT_S = 30.0
"""The longest wait for an answer (chosen: a page of a hundred thousand users takes seconds)."""
OPENER = build_opener(ProxyHandler({}))
"""Calls addresses directly: a proxy has no business with an administrator's token or a user's key."""


class CallError(Exception):
    """The call failed; the message says why, in the gateway's words where it has any."""


class Client:
    """One address, `url`; the admin `token` is sent where there is one."""

    def __init__(self, url: str, token: str) -> None:
        if not url.startswith(("http://", "https://")):
            message = f"{url} must begin with http:// or https://"
            raise ValueError(message)
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def get(self, *path: str, **query: object) -> Any:
        """GET a path, given by its parts.  Raises CallError."""
        return _json(self._call(path, query), self._url)

    def text(self, *path: str) -> str:
        """GET a page that is no JSON.  Raises CallError."""
        return self._call(path, {}).decode(errors="replace")

    def post(self, *path: str, body: Mapping[str, object]) -> Any:
        """POST JSON to a path.  Raises CallError."""
        return _json(self._call(path, {}, json.dumps(body).encode()), self._url)

    def pages(self, *path: str, items: str) -> Iterator[Any]:
        """Yield the items of a list, page by page.  Raises CallError."""
        after = ""
        while True:
            page = self.get(*path, **({"after": after} if after else {}))
            yield from page[items]
            if not (after := page.get("next", "")):
                return

    def _call(self, path: Sequence[str], query: Mapping[str, object], body: bytes | None = None) -> bytes:
        where = "/".join(quote(part, safe="") for part in path)
        url = f"{self._url}/{where}?{urlencode(query)}".rstrip("?")
        headers = self._headers if body is None else {**self._headers, "content-type": "application/json"}
        request = Request(url, body, headers)  # noqa: S310 - the scheme was checked
        try:
            with OPENER.open(request, timeout=TIMEOUT_S) as answer:
                content: bytes = answer.read()
                return content
        except HTTPError as error:
            with error:
                raise CallError(_refusal(error)) from error
        except (OSError, HTTPException) as error:  # an answer that is none, or is cut short, is the latter
            raise CallError(f"{self._url} cannot be reached: {getattr(error, 'reason', error)}") from error


def _json(content: bytes, url: str) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise CallError(f"{url} does not answer JSON: it is no address of a gateway's") from error


def _refusal(error: HTTPError) -> str:
    """Return the message of the answer, or its status where it has none."""
    try:
        return str(json.load(error)["message"])
    except (ValueError, KeyError, TypeError, OSError, HTTPException):
        return f"{error.url} answers {error.code}"
