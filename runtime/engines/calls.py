"""HTTP calls to the engine: their time limits, their errors, and trying again.

Lives here: what becomes of an engine that is away, late or broken.  Not here: paths and bodies (the engines' modules).
"""

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import httpx
import orjson

from runtime.errors import Problem

ANSWER_S = 30.0
"""Time that the engine has for a call, in seconds: loading an adapter reads files (AIBrix's own limit)."""
PAUSES_S = (1.0, 2.0)
"""Waits between attempts, in seconds: three attempts, as AIBrix makes (1 s, doubled, at most 10 s)."""
KEEP_ALIVE_S = 3.0
"""Idle connections are closed sooner than by the engine, which does so after 5 s (recorded from vLLM 0.32)."""


def engine_client(endpoint: str) -> httpx.AsyncClient:
    """Return a client for the engine's address; proxies of the environment are for others."""
    limits = httpx.Limits(keepalive_expiry=KEEP_ALIVE_S)
    return httpx.AsyncClient(base_url=endpoint, limits=limits, timeout=ANSWER_S, trust_env=False)


class Calls:
    """Calls to one engine, with one key."""

    def __init__(
        self, client: httpx.AsyncClient, authorization: str = "", pauses_s: Sequence[float] = PAUSES_S
    ) -> None:
        self._client = client
        self._headers = {"authorization": authorization} if authorization else {}
        self._pauses_s = pauses_s

    def with_authorization(self, authorization: str) -> "Calls":
        """Return the same with another `authorization` header; an empty one changes nothing."""
        return Calls(self._client, authorization, self._pauses_s) if authorization else self

    async def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, timeout_s: float = ANSWER_S
    ) -> httpx.Response:
        """Return the answer, whatever its status.

        Raises Problem: 408 when it does not come in time, 502 when there is no connection or it breaks.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._client.request(method, path, json=body, headers=self._headers, timeout=timeout_s)
        except (TimeoutError, httpx.TimeoutException) as error:
            message = f"the engine did not answer {method} {path} within {timeout_s:g} s"
            raise Problem(HTTPStatus.REQUEST_TIMEOUT, message) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = str(error) or type(error).__name__
            message = f"the engine at {self._client.base_url} is away: {why}"
            raise Problem(HTTPStatus.BAD_GATEWAY, message) from error

    async def change(self, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        """POST, again after a pause while the engine is away or answers 5xx; return the last answer, whatever it is.

        Only for calls that do no harm when the engine has done them already.  A call that takes too long is not
        repeated.  Raises Problem as `ask`.
        """
        for pause_s in self._pauses_s:
            try:
                answer = await self.ask("POST", path, body)
            except Problem as problem:
                if problem.status != HTTPStatus.BAD_GATEWAY:
                    raise
            else:
                if answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                    return answer
            await asyncio.sleep(pause_s)
        return await self.ask("POST", path, body)


def words(answer: httpx.Response) -> str:
    """Return what an engine says in an answer: the message of its error, else its text, at most 2,000 characters."""
    try:
        value = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        value = answer.text
    if isinstance(value, dict):
        error = value.get("error")
        nested = error.get("message") if isinstance(error, dict) else error
        value = nested or value.get("error_message") or value.get("message") or value.get("detail") or answer.text
    return str(value).strip()[:2000] or f"status {answer.status_code}"


def refusal(answer: httpx.Response) -> Problem:
    """Return the problem of an answer that is no success, in the engine's own words.

    The status is the engine's where the caller is to blame (4xx), and 502 where the engine is.
    """
    is_callers = answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
    return Problem(answer.status_code if is_callers else HTTPStatus.BAD_GATEWAY, words(answer), "EngineError")
