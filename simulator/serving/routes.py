"""The ASGI application of one simulated engine, with vLLM's routes.

Lives here: the route table and routes that only show the engine.  Not here: generating requests (endpoints), routes
that change the engine (control), the server (server).
"""

import random
from collections.abc import Callable

import orjson
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.openai import messages, requests, responses, tokens
from simulator.openai.errors import UnknownResponseError, parse_json
from simulator.openai.messages import MessagesShape, messages_request
from simulator.openai.response_objects import ResponsesShape, responses_request
from simulator.openai.responses import ChatShape, CompletionShape
from simulator.openai.writing import Writer
from simulator.serving.async_engine import AsyncEngine
from simulator.serving.control import ControlRoutes
from simulator.serving.endpoints import EmbeddingEndpoint, EndpointContext, TextEndpoint
from simulator.serving.exchange import Exchange
from simulator.serving.faults import Faults
from simulator.serving.json_responses import answering_errors, json_response

VERSION = "0.32.0"
"""The vLLM version whose recorded responses are imitated."""


class InfoRoutes:
    """The routes of one engine that only show it."""

    def __init__(self, engine: AsyncEngine, faults: Faults, new_id: Callable[[], str]) -> None:
        self._engine = engine
        self._faults = faults
        self._new_id = new_id

    async def index(self, _: Request) -> Response:
        """GET /: what this is, for people."""
        profile = self._engine.profile
        served = ", ".join((profile.model, *profile.adapters))
        return PlainTextResponse(f"This is an engine that Forebay simulates, with vLLM's API.  It serves {served}.\n")

    async def stored_response(self, _: Request) -> Response:
        """GET, DELETE and POST below /v1/responses."""
        raise UnknownResponseError

    async def models(self, _: Request) -> Response:
        """GET /v1/models."""
        profile = self._engine.profile
        permission_ids = [self._new_id() for _ in (profile.model, *profile.adapters)]
        roots = self._engine.state.model.adapters.loaded
        return json_response(responses.models(profile, int(self._engine.clock()), permission_ids, roots))

    async def health(self, _: Request) -> Response:
        """GET /health: an empty 200; 503 when the engine is dead or a fault says so."""
        is_healthy = self._engine.alive and not self._faults.take(health_check=True)
        return Response(status_code=200 if is_healthy else 503)

    async def version(self, _: Request) -> Response:
        """GET /version."""
        return json_response(orjson.dumps({"version": VERSION}))

    async def metrics(self, _: Request) -> Response:
        """GET /metrics."""
        return Response(self._engine.exposition(), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

    async def tokenize(self, request: Request) -> Response:
        """POST /tokenize."""
        body = requests.validated(requests.TokenizeBody, parse_json(await request.body()))
        profile = self._engine.profile
        requests.served_model(body, profile)
        prompt = requests.tokenize_prompt(body)
        return json_response(
            responses.tokenized(prompt, profile.max_model_len, with_texts=bool(body.return_token_strs))
        )

    async def count_tokens(self, request: Request) -> Response:
        """POST /v1/messages/count_tokens."""
        return json_response(messages.counted(parse_json(await request.body()), self._engine.profile))

    async def detokenize(self, request: Request) -> Response:
        """POST /detokenize."""
        body = requests.validated(requests.DetokenizeBody, parse_json(await request.body()))
        requests.served_model(body, self._engine.profile)
        return json_response(orjson.dumps({"prompt": tokens.decode(tokens.encode_ids(body.tokens))}))


def application(engine: AsyncEngine) -> ASGIApp:
    """Return the ASGI application of `engine`."""
    rng = random.Random(engine.profile.seed)  # noqa: S311  # reproducible ids, no secret
    faults = Faults()

    def new_id() -> str:
        return f"{rng.getrandbits(64):016x}"

    context = EndpointContext(engine, Writer(engine.profile.seed), faults, new_id)
    face = InfoRoutes(engine, faults, new_id)
    routes = [
        Route("/", face.index),
        Route("/v1/chat/completions", TextEndpoint(context, ChatShape, requests.chat_request), methods=["POST"]),
        Route("/v1/completions", TextEndpoint(context, CompletionShape, requests.completion_request), methods=["POST"]),
        Route("/v1/responses", TextEndpoint(context, ResponsesShape, responses_request), methods=["POST"]),
        Route(
            "/v1/responses/{rest:path}",
            answering_errors(face.stored_response),
            methods=["GET", "DELETE", "POST"],
        ),
        Route(
            "/v1/messages",
            TextEndpoint(context, MessagesShape, messages_request, messages.error_body),
            methods=["POST"],
        ),
        Route("/v1/messages/count_tokens", answering_errors(face.count_tokens, messages.error_body), methods=["POST"]),
        Route("/v1/embeddings", EmbeddingEndpoint(context), methods=["POST"]),
        Route("/v1/models", face.models),
        Route("/health", face.health),
        Route("/version", face.version),
        Route("/metrics", face.metrics),
        Route("/tokenize", answering_errors(face.tokenize), methods=["POST"]),
        Route("/detokenize", answering_errors(face.detokenize), methods=["POST"]),
        *ControlRoutes(engine, faults).routes(),
    ]
    return _UnlessRestarting(engine, Starlette(routes=routes, exception_handlers={HTTPException: _no_route}))


class _UnlessRestarting:
    """Passes requests to the application, except between a crash and the restart: then it closes connections."""

    def __init__(self, engine: AsyncEngine, application: ASGIApp) -> None:
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
    """Answer an unknown path or method as FastAPI does."""
    if not isinstance(error, HTTPException):
        raise error
    answer = json_response(orjson.dumps({"detail": error.detail}), error.status_code)
    answer.headers.update(error.headers or {})
    return answer
