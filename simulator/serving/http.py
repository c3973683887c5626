"""The routes of one simulated engine, vLLM's.

Lives here: the ASGI application and answers that only show the engine.  Not here: generating requests (generating),
routes that change the engine (control), the server (serve).
"""

import random
from collections.abc import Callable

import orjson
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.openai import answers, requests, tokens
from simulator.openai.answers import ChatShape, CompletionShape
from simulator.openai.errors import parse_json
from simulator.openai.replies import json_reply, refusing
from simulator.openai.writing import Writer
from simulator.serving.control import Control
from simulator.serving.engine import Engine
from simulator.serving.exchange import Exchange
from simulator.serving.faults import Faults
from simulator.serving.generating import Desk, EmbeddingEndpoint, TextEndpoint

VERSION = "0.32.0"
"""The vLLM whose answers these are."""


class Face:
    """The short answers of one engine."""

    def __init__(self, engine: Engine, faults: Faults, new_id: Callable[[], str]) -> None:
        self._engine = engine
        self._faults = faults
        self._new_id = new_id

    async def models(self, _: Request) -> Response:
        """GET /v1/models."""
        profile = self._engine.profile
        permission_ids = [self._new_id() for _ in (profile.model, *profile.adapters)]
        return json_reply(answers.models(profile, int(self._engine.clock()), permission_ids))

    async def health(self, _: Request) -> Response:
        """GET /health: an empty 200, or 503 when dead or told so."""
        is_healthy = self._engine.alive and not self._faults.take(health_check=True)
        return Response(status_code=200 if is_healthy else 503)

    async def version(self, _: Request) -> Response:
        """GET /version."""
        return json_reply(orjson.dumps({"version": VERSION}))

    async def metrics(self, _: Request) -> Response:
        """GET /metrics."""
        return Response(self._engine.exposition(), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

    async def tokenize(self, request: Request) -> Response:
        """POST /tokenize."""
        body = requests.validated(requests.TokenizeBody, parse_json(await request.body()))
        profile = self._engine.profile
        requests.served_model(body, profile)
        prompt = requests.tokenize_prompt(body)
        return json_reply(answers.tokenized(prompt, profile.max_model_len, with_texts=bool(body.return_token_strs)))

    async def detokenize(self, request: Request) -> Response:
        """POST /detokenize."""
        body = requests.validated(requests.DetokenizeBody, parse_json(await request.body()))
        requests.served_model(body, self._engine.profile)
        return json_reply(orjson.dumps({"prompt": tokens.decode(tokens.encode_ids(body.tokens))}))


def application(engine: Engine) -> ASGIApp:
    """The ASGI application of `engine`."""
    rng = random.Random(engine.profile.seed)  # noqa: S311  # reproducible ids, no secret
    faults = Faults()

    def new_id() -> str:
        return f"{rng.getrandbits(64):016x}"

    desk = Desk(engine, Writer(engine.profile.seed), faults, new_id)
    face = Face(engine, faults, new_id)
    routes = [
        Route("/v1/chat/completions", TextEndpoint(desk, ChatShape, requests.chat_order), methods=["POST"]),
        Route("/v1/completions", TextEndpoint(desk, CompletionShape, requests.completion_order), methods=["POST"]),
        Route("/v1/embeddings", EmbeddingEndpoint(desk), methods=["POST"]),
        Route("/v1/models", face.models),
        Route("/health", face.health),
        Route("/version", face.version),
        Route("/metrics", face.metrics),
        Route("/tokenize", refusing(face.tokenize), methods=["POST"]),
        Route("/detokenize", refusing(face.detokenize), methods=["POST"]),
        *Control(engine, faults).routes(),
    ]
    return _Reachable(engine, Starlette(routes=routes, exception_handlers={HTTPException: _no_route}))


class _Reachable:
    """The application while the engine is not between a crash and its restart, when connections are closed."""

    def __init__(self, engine: Engine, application: ASGIApp) -> None:
        self._engine = engine
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._engine.restarting:
            exchange = Exchange(scope, receive, send)
            exchange.cut()
            await exchange.gone()
        else:
            await self._application(scope, receive, send)


async def _no_route(_: Request, error: Exception) -> Response:
    """Unknown path or method, as FastAPI words it."""
    if not isinstance(error, HTTPException):
        raise error
    answer = json_reply(orjson.dumps({"detail": error.detail}), error.status_code)
    answer.headers.update(error.headers or {})
    return answer
