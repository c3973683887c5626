"""The routes of one simulated engine: vLLM's, and a control path under /sim that no real engine has.

Lives here: the ASGI application and its short answers.  Not here: generating requests (generating), the server (serve).
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import wraps

import orjson
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator import answers, requests
from simulator.answers import ChatShape, CompletionShape
from simulator.engine import Engine
from simulator.errors import ApiError, parse_json
from simulator.faults import Fault, Faults
from simulator.generating import Desk, EmbeddingEndpoint, TextEndpoint
from simulator.profile import Speed
from simulator.writing import Writer

VERSION = "0.32.0"
"""The vLLM whose answers these are."""

Endpoint = Callable[[Request], Awaitable[Response]]


class SpeedBody(BaseModel):
    """The body of POST /sim/speed: what is absent is as the profile says; `factor` scales all of it."""

    model_config = ConfigDict(extra="forbid")

    ttft_s: float | None = Field(default=None, ge=0)
    prefill_tokens_per_s: float | None = Field(default=None, gt=0)
    tokens_per_s: float | None = Field(default=None, gt=0)
    factor: float = Field(default=1.0, gt=0)

    def speed(self, profile_speed: Speed) -> Speed:
        """The whole speed."""
        given = self.model_dump(exclude={"factor"}, exclude_none=True)
        return replace(profile_speed, **given).times(self.factor)


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
        return _json(answers.models(profile, int(self._engine.clock()), permission_ids))

    async def health(self, _: Request) -> Response:
        """GET /health: an empty 200, or 503 when dead or told so."""
        is_healthy = self._engine.alive and not self._faults.take(health_check=True)
        return Response(status_code=200 if is_healthy else 503)

    async def version(self, _: Request) -> Response:
        """GET /version."""
        return _json(orjson.dumps({"version": VERSION}))

    async def metrics(self, _: Request) -> Response:
        """GET /metrics."""
        return Response(self._engine.exposition(), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

    async def tokenize(self, request: Request) -> Response:
        """POST /tokenize."""
        body = requests.validated(requests.TokenizeBody, parse_json(await request.body()))
        profile = self._engine.profile
        requests.served_model(body, profile)
        prompt = requests.tokenize_prompt(body)
        return _json(answers.tokenized(prompt, profile.max_model_len, with_texts=bool(body.return_token_strs)))

    async def add_fault(self, request: Request) -> Response:
        """POST /sim/fault; answers with what is pending."""
        self._faults.add(requests.validated(Fault, parse_json(await request.body())))
        return self._pending()

    async def clear_faults(self, _: Request) -> Response:
        """DELETE /sim/fault."""
        self._faults.clear()
        return self._pending()

    async def set_speed(self, request: Request) -> Response:
        """POST /sim/speed; answers with the speed that now holds."""
        body = requests.validated(SpeedBody, parse_json(await request.body()))
        speed = body.speed(self._engine.profile.speed)
        self._engine.set_speed(speed)
        return _json(orjson.dumps(speed))

    def _pending(self) -> Response:
        return _json(orjson.dumps([fault.model_dump() for fault in self._faults.pending]))


def application(engine: Engine) -> Starlette:
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
        Route("/tokenize", _refusing(face.tokenize), methods=["POST"]),
        Route("/sim/fault", _refusing(face.add_fault), methods=["POST"]),
        Route("/sim/fault", face.clear_faults, methods=["DELETE"]),
        Route("/sim/speed", _refusing(face.set_speed), methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _no_route})


def _refusing(endpoint: Endpoint) -> Endpoint:
    """`endpoint` with ApiError as an answer."""

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ApiError as error:
            return _json(orjson.dumps(error.body), error.status)

    return answer


async def _no_route(_: Request, error: Exception) -> Response:
    """Unknown path or method, as FastAPI words it."""
    if not isinstance(error, HTTPException):
        raise error
    answer = _json(orjson.dumps({"detail": error.detail}), error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, {"vary": "Origin"}, "application/json")
