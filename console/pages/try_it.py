"""The page that sends a chat request as a client would, and shows its way: pod, decision, tokens, time.

Lives here: one request, not streamed.  Not here: a client library.
"""

import json
import time
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State

from console.desk import Desk
from console.elements import fields, note
from console.looking.client import OPENER

TITLE = "Try it"
TIMEOUT_S = 300.0
"""As long as a first pod may take to come."""
_SHOWN = ("target-pod", "routing-strategy", "x-forebay-decision", "x-forebay-pool", "x-request-id", "retry-after")


def layout(_desk: Desk, _query: dict[str, str]) -> list[Any]:
    """Return the page."""
    return [
        dmc.SimpleGrid([
            dmc.TextInput(id="try-model", label="Model"),
            dmc.TextInput(id="try-user", label="User, or an API key"),
            dmc.TextInput(id="try-strategy", label="Strategy", placeholder="the gateway's"),
            dmc.NumberInput(id="try-tokens", label="Tokens of the answer, at most", min=1, value=64),
        ], cols={"base": 1, "sm": 2, "md": 4}),
        dmc.Textarea(id="try-prompt", label="Prompt", value="Say this is a test!", autosize=True),
        dmc.Button("Send", id="try-send"),
        dmc.Stack(id="try-answer"),
    ]  # fmt: skip


def register(app: Dash, desk: Desk) -> None:
    """Add what fills the page."""

    @app.callback(Output("try-model", "value"), Input("try-send", "id"))
    def first_model(_id: str) -> str:
        shown = desk.history.now()
        return shown.models[0].model if shown and shown.models else ""

    @app.callback(
        Output("try-answer", "children"), Input("try-send", "n_clicks"),
        State("try-model", "value"), State("try-user", "value"), State("try-strategy", "value"),
        State("try-tokens", "value"), State("try-prompt", "value"),
        running=[(Output("try-send", "disabled"), True, False)], prevent_initial_call=True,
    )  # fmt: skip
    def send(_clicks: int, model: str, user: str | None, strategy: str | None, tokens: Any, prompt: str) -> list[Any]:
        if not desk.gateway:
            return [note("The console was not told where the gateway's Envoy listens: --gateway URL.", is_bad=True)]
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": int(tokens or 64)}
        headers = {"content-type": "application/json"}
        if user:
            headers |= {"user": user, "authorization": f"Bearer {user}"}
        if strategy:
            headers["routing-strategy"] = strategy
        return _sent(Request(f"{desk.gateway}/v1/chat/completions", json.dumps(body).encode(), headers))  # noqa: S310 - checked at start


def _sent(request: Request) -> list[Any]:
    began_s = time.monotonic()
    try:
        with OPENER.open(request, timeout=TIMEOUT_S) as answer:
            status, headers, content = answer.status, answer.headers, answer.read()
    except HTTPError as error:
        with error:
            status, headers, content = error.code, error.headers, error.read()
    except (OSError, HTTPException, ValueError) as error:  # the last: a user that no header can name
        return [note(f"{request.full_url} cannot be asked: {getattr(error, 'reason', error)}", is_bad=True)]
    took = {"status": status, "seconds": f"{time.monotonic() - began_s:.3f}"}
    shown = {name: headers[name] for name in headers if name in _SHOWN or name.startswith(("x-ratelimit", "x-error"))}
    return [dmc.Blockquote(_text(content), id="try-text"), fields({**took, **shown, **_usage(content)})]


def _text(content: bytes) -> str:
    """Return the answer's text or its error's message, else all of it."""
    try:
        said = json.loads(content)
        return str(said["error"]["message"] if "error" in said else said["choices"][0]["message"]["content"])
    except (ValueError, KeyError, TypeError, IndexError):
        return content.decode(errors="replace")


def _usage(content: bytes) -> dict[str, Any]:
    try:
        usage = json.loads(content).get("usage") or {}
    except (ValueError, AttributeError):
        return {}
    return {name: value for name, value in usage.items() if isinstance(value, int)}
