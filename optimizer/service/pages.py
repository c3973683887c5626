"""The HTTP pages of the optimizer (docs/contracts.md, section 6), for autoscalers and operators.

Every answer comes from memory: no page waits for Redis, for a cluster or for a plan, but those that are there for it
(/update_profile, /simulate).

Lives here: paths, statuses, bounds of bodies.  Not here: the content (published, explaining, decision_json,
simulation), who may ask (the composition root).
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from math import inf
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from optimizer.input.reading import InputError
from optimizer.service import simulation
from optimizer.service.board import Board, Model
from optimizer.service.dash import dash_route
from optimizer.service.decision_json import history_values, plan_values
from optimizer.service.explaining import as_text, explanation
from optimizer.service.profile_reader import ProfileReader
from optimizer.service.published import gauge_page
from traffic.connection import RedisAwayError

MOST_BYTES = 1 << 20
"""The longest body that is read."""
BODY_S = 10.0
"""The longest that a body may take to arrive, in seconds."""
MOST_COUNT = 1_000_000
MOST_NAMES = 100
"""Names of models that an error shows."""
MOST_PROBLEMS = 20
"""Problems of a body that an error shows."""

PATHS = {
    "/metrics/{namespace}/{deployment}": "100 x the replicas that a deployment should have, for autoscalers",
    "/dash/{model}": "load, plan, replicas and cost, for people",
    "/explain/{model}": "why: which stage is missing, and what waits for what",
    "/plan/{model}": "the last decision and its plan",
    "/history/{model}": "decisions of the last day",
    "/update_profile/{model}": "read the profiles again",
    "POST|DELETE /monitor/{namespace}/{deployment}": "plan a deployment, or leave it out",
    "PUT /scale/{namespace}/{deployment}": 'ask for replicas by hand: {"replicas": 2}; -1 ends that',
    "POST /simulate": 'what if: {"model": "m", "factor": 2}',
}
"""The paths, for people."""

TRACED_S = 30.0
"""For so long the answer holds which models have traces: it takes a look at every key of Redis."""
Traced = Callable[[], Awaitable[set[str]]]
"""Returns the models of which there are traces.  Raises RedisAwayError."""


def error(status: int, message: str) -> Response:
    """Return an error as AIBrix's clients read it."""
    return JSONResponse({"error": message}, status_code=status)


def on_http_error(_request: Request, problem: Exception) -> Response:
    """Answer in the same form what no page raised."""
    assert isinstance(problem, HTTPException)  # noqa: S101 - registered for it alone
    return error(problem.status_code, problem.detail)


class Pages:
    """The pages over a board."""

    def __init__(self, board: Board, profiles: ProfileReader, traced: Traced) -> None:
        self._board, self._profiles, self._traced = board, profiles, traced
        self._simulating = asyncio.Semaphore(1)
        self._known: tuple[float, set[str]] = (-inf, set())

    def routes(self) -> list[Route]:
        """Return the routes.  Names of models may contain slashes."""
        place = "/{namespace}/{deployment}"
        return [
            Route(f"/metrics{place}", self.gauge),
            Route(f"/monitor{place}", self.start, methods=["POST"]),
            Route(f"/monitor{place}", self.stop, methods=["DELETE"]),
            Route(f"/scale{place}", self.scale, methods=["PUT"]),
            Route("/update_profile/{model:path}", self.update_profile),
            Route("/plan/{model:path}", self.plan),
            Route("/history/{model:path}", self.history),
            Route("/explain/{model:path}", self.explain),
            Route("/simulate", self.simulate, methods=["POST"]),
            dash_route(),
        ]

    async def gauge(self, request: Request) -> Response:
        """Answer an autoscaler."""
        key = _key(request)
        deployment, replicas = self._board.deployment(key), self._board.published(key)
        if deployment is None or replicas is None:
            why = "is not known" if deployment is None else "is not monitored, or nothing was decided yet"
            return error(HTTPStatus.NOT_FOUND, f"Failed to read metrics: {key} {why}")
        raw = request.query_params.get("raw", "") not in ("", "0")
        model = self._board.models[deployment.model]
        text = gauge_page(deployment, model, replicas, self._board.now_s(), raw=raw)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def start(self, request: Request) -> Response:
        """Plan a deployment again."""
        key = _key(request)
        if self._board.deployment(key) is None:
            return _unknown(key)
        is_new = self._board.start(key)
        return _said(f"Deployment optimization {'started' if is_new else 'already started'}")

    async def stop(self, request: Request) -> Response:
        """Leave a deployment out of all plans."""
        key = _key(request)
        if self._board.deployment(key) is None:
            return _unknown(key)
        self._board.stop(key)
        return _said("Deployment optimization stopped")

    async def scale(self, request: Request) -> Response:
        """Publish what somebody asks for."""
        key = _key(request)
        body = await _json(request)
        replicas = body.get("replicas") if isinstance(body, dict) else None
        if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas > MOST_COUNT:
            return error(HTTPStatus.BAD_REQUEST, f"replicas must be a whole number of at most {MOST_COUNT}")
        if self._board.deployment(key) is None:
            return _unknown(key)
        self._board.override(key, replicas)
        return _said(f"Scaled to {replicas}")

    async def update_profile(self, request: Request) -> Response:
        """Read the profiles again; a model whose profiles changed is decided at once."""
        name = request.path_params["model"]
        if name not in self._board.models:
            return error(HTTPStatus.NOT_FOUND, f"{name} not monitored")
        self._board.hurry(*await self._profiles.refresh())
        return _said(f"workload profile of {name} updated")

    async def plan(self, request: Request) -> Response:
        """Show the last decision."""
        model = self._model(request)
        if model.decision is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"{model.name}: nothing was decided yet")
        return JSONResponse(plan_values(self._board, model, model.decision))

    async def history(self, request: Request) -> Response:
        """Show the last day."""
        return JSONResponse(history_values(self._model(request)))

    async def explain(self, request: Request) -> Response:
        """Show the state of each stage, as JSON to clients that ask for it, else as text."""
        model = self._model(request)
        page = explanation(self._board, model, await self._with_traces() if model.last is None else ())
        if "application/json" in request.headers.get("accept", "").lower():
            return JSONResponse(page)
        return PlainTextResponse(as_text(page))

    async def _with_traces(self) -> set[str]:
        """Return the models of which there were traces a moment ago; none while Redis is away."""
        now_s = self._board.now_s()
        if abs(now_s - self._known[0]) > TRACED_S:
            self._known = now_s, self._known[1]  # others do not ask meanwhile
            with suppress(RedisAwayError):
                self._known = now_s, await self._traced()
        return self._known[1]

    async def simulate(self, request: Request) -> Response:
        """Answer what if; one at a time, so that questions never take more than one thread from decisions."""
        text = await _body(request)
        if self._simulating.locked():
            return error(HTTPStatus.TOO_MANY_REQUESTS, "another question is being answered")
        async with self._simulating:
            try:
                return JSONResponse(await asyncio.to_thread(self._answer, text))
            except InputError as problem:
                return error(HTTPStatus.BAD_REQUEST, "; ".join(problem.problems[:MOST_PROBLEMS]))

    def _answer(self, text: bytes) -> dict[str, Any]:
        body = _parsed(text)
        if isinstance(body, dict) and "gpus" in body:
            return simulation.answer_case(text)
        question = simulation.question_of(body)
        model = self._board.models.get(question.model)
        if model is None or model.decision is None:
            raise InputError([f"model = {question.model}, is not known, or nothing was decided yet"])
        profiles = self._board.shelf.of(model.deployments)
        return simulation.answer(question, simulation.Now(model.decision.demand, model.deployments, profiles))

    def _model(self, request: Request) -> Model:
        name = request.path_params["model"]
        model = self._board.models.get(name)
        if model is None:
            known = ", ".join(sorted(self._board.models)[:MOST_NAMES]) or "none"
            raise HTTPException(HTTPStatus.NOT_FOUND, f"no deployment of {name} is known; models: {known}")
        return model


def _key(request: Request) -> str:
    return f"{request.path_params['namespace']}/{request.path_params['deployment']}"


def _unknown(key: str) -> Response:
    return error(HTTPStatus.NOT_FOUND, f"{key} is not known")


def _said(message: str) -> Response:
    return JSONResponse({"message": message})


async def _json(request: Request) -> Any:
    try:
        return _parsed(await _body(request))
    except InputError as problem:
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(problem)) from problem


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise InputError([f"no JSON: {problem}"]) from problem


async def _body(request: Request) -> bytes:
    """Return the body.  Raises HTTPException for one that is too long, or too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BYTES:
                    raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MOST_BYTES} bytes are read")
    except TimeoutError as late:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, f"the body took more than {BODY_S:g} s") from late
    return bytes(body)
