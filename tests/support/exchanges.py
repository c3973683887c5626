"""An exchange to script: the messages of Envoy that begin one, and what its commands are recognised by."""

from random import Random
from typing import Any

import orjson

from gateway.extproc.commands import (
    Admit,
    Identify,
    ImmediateReply,
    Mutation,
    Refuse,
)
from gateway.extproc.events import (
    BodyMode,
    Identified,
    RequestBody,
    RequestHeaders,
    Routed,
)
from gateway.extproc.exchange import Exchange
from gateway.openai.rewrites import Rewrite, Rewrites

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
BODY = orjson.dumps(CHAT)
STREAM = orjson.dumps({**CHAT, "stream": True})
POST = {":method": "POST", ":path": "/v1/chat/completions", "content-type": "application/json", "x-request-id": "r1"}
ROUTED = Routed(
    "0-1",
    {"x-gateway-destination-endpoint": "10.0.0.1:8000,10.0.0.2:8000"},
    {"target-pod": "a", "x-forebay-decision": "why"},
    {"envoy.lb": {"x-gateway-destination-endpoint": "10.0.0.1:8000,10.0.0.2:8000"}},
    {"10.0.0.1:8000": "a", "10.0.0.2:8000": "b"},
)
NOBODY = Identified(None)
TO_POD = Mutation(ROUTED.request_headers, (), ROUTED.metadata)


def rewrites(*rules: Rewrite, trusts_header: bool = True) -> Rewrites:
    made = Rewrites(Random(1), trusts_header=trusts_header)
    made.replace(rules)
    return made


def exchange(limit: int = 10_000_000, *rules: Rewrite, **options: Any) -> Exchange:
    return Exchange(limit, rewrites(*rules), **options)


def headers(mode: BodyMode | None = BodyMode.BUFFERED, response: BodyMode | None = None, **more: str) -> RequestHeaders:
    return RequestHeaders(
        {**POST, **{name.replace("_", "-"): value for name, value in more.items()}}, False, mode, response
    )


def admits(command: Any) -> bool:
    return isinstance(command, Admit) and command.request.model == "m"


def identifies(command: Any) -> bool:
    return isinstance(command, Identify) and command.headers[":path"] == POST[":path"]


def refuses(status: int, param: str | None = None) -> Any:
    return lambda c: isinstance(c, Refuse) and (c.error.status, c.error.param) == (status, param)


def is_immediate(status: int) -> Any:
    return lambda c: isinstance(c, ImmediateReply) and c.status == status


def routed(mode: BodyMode | None = BodyMode.BUFFERED, response: BodyMode | None = None, body: bytes = BODY) -> Exchange:
    machine = exchange()
    for event in (headers(mode, response), NOBODY, RequestBody(body, True), ROUTED):
        machine.step(event)
    return machine
