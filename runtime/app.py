"""The HTTP face of the runtime (docs/contracts.md section 11).

Lives here: paths, and the shape of answers.  Not here: bodies (bodies), what each call does (adapters, models, phases,
metrics), who may call (forebay.sidecar).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from runtime.adapters import Adapters, Wanted, is_local
from runtime.bodies import DownloadBody, DrainBody, ListBody, LoadAdapterBody, PhaseBody, SleepBody, UnloadAdapterBody
from runtime.engines.calls import ANSWER_S
from runtime.engines.engine import Engine
from runtime.errors import Problem
from runtime.metrics.page import MetricsPage
from runtime.models import Models
from runtime.phases import Phases
from runtime.settings import Settings

ENGINE_KEY = "api-key"
"""The key of `additional_config` that is the engine's, as a ModelAdapter's `additionalConfig` names it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that answer calls."""

    settings: Settings
    engine: Engine
    phases: Phases
    adapters: Adapters
    models: Models
    page: MetricsPage
    passes_authorization: bool = True
    """Whether a caller's `authorization` is the engine's, and not the runtime's own."""

    def engine_for(self, request: Request, key: str = "") -> Engine:
        """Return the engine as this caller may ask it."""
        passed = request.headers.get("authorization", "") if self.passes_authorization else ""
        return self.engine.speaking_for(f"Bearer {key}" if key else passed)


def create_app(parts: Parts, *, has_docs: bool = False) -> FastAPI:
    """Make the application; `has_docs` adds FastAPI's pages /docs, /redoc and /openapi.json."""
    pages: dict[str, Any] = {} if has_docs else {"openapi_url": None, "docs_url": None, "redoc_url": None}
    app = FastAPI(
        title="Forebay runtime",
        exception_handlers={Problem: _on_problem, RequestValidationError: _on_invalid, HTTPException: _on_http_error},
        **pages,
    )
    for router in (_probes(parts), _adapter_calls(parts), _model_calls(parts), _phase_calls(parts)):
        app.include_router(router)
    return app


def _probes(parts: Parts) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Say that the runtime lives."""
        return {"status": "ok"}

    @router.get("/ready")
    async def ready() -> Response:
        """Say whether the engine should get requests, and if not, why."""
        reason = await parts.phases.not_ready()
        if reason:
            return JSONResponse({"status": "not ready", "reason": reason}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"status": "ready"})

    @router.get("/metrics")
    @router.get("/metrics/", include_in_schema=False)
    async def metrics() -> Response:
        """Return the page for Prometheus."""
        return Response(await parts.page.render(), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

    return router


def _adapter_calls(parts: Parts) -> APIRouter:
    router = APIRouter()
    folder = parts.settings.adapters_folder

    @router.post("/v1/lora_adapter/load")
    async def load(body: LoadAdapterBody, request: Request) -> Response:
        """Load an adapter, downloaded before where it has to be."""
        wanted, key = _wanted(body, parts.settings)
        loaded = await parts.adapters.load(parts.engine_for(request, key), wanted)
        if body.artifact_url is None:
            return PlainTextResponse(loaded.said)
        return JSONResponse({
            "status": "success", "message": loaded.said, "local_path": loaded.path, "engine_response": None,
        })  # fmt: skip

    @router.post("/v1/lora_adapter/unload")
    async def unload(body: UnloadAdapterBody, request: Request) -> dict[str, str]:
        """Unload an adapter."""
        engine = parts.engine_for(request)
        said = await parts.adapters.unload(engine, body.lora_name, folder, cleanup=body.cleanup_local)
        return {"status": "success", "message": said}

    return router


def _wanted(body: LoadAdapterBody, settings: Settings) -> tuple[Wanted, str]:
    """Return the adapter that a body asks for, and the engine's key."""
    folder = settings.adapters_folder
    if body.credentials_secret and not body.credentials:
        message = "credentials_secret: the runtime reads no Secrets, send credentials"
        raise Problem(HTTPStatus.BAD_REQUEST, message, param="credentials_secret")
    if body.local_dir and Path(body.local_dir) != folder:
        message = f"local_dir = {body.local_dir}, must be {folder}, or that of ADAPTER_LOCAL_DIR"
        raise Problem(HTTPStatus.BAD_REQUEST, message, param="local_dir")
    options = {**(body.additional_config or {}), **(body.credentials or {})}
    key = options.pop(ENGINE_KEY, "")
    source = body.lora_path or body.artifact_url or ""
    is_path = body.lora_path is not None or is_local(source)
    return Wanted(body.lora_name, source, is_path, folder, options), key


def _model_calls(parts: Parts) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/models")
    async def models(request: Request) -> Response:
        """Return the engine's own list of models."""
        return JSONResponse(await parts.engine_for(request).models(ANSWER_S))

    @router.post("/v1/model/download")
    async def download(body: DownloadBody) -> dict[str, str]:
        """Begin a download, and say how far it is."""
        return parts.models.start(body.model_uri, body.model_name, body.local_dir, body.download_extra_config or {})

    @router.get("/v1/model/list")
    async def listed(body: ListBody | None = None, local_dir: str | None = None) -> dict[str, Any]:
        """Return the models on the disk.  AIBrix's clients send the folder in the body of the GET."""
        return {"object": "list", "data": parts.models.cards(body.local_dir if body else local_dir)}

    return router


def _phase_calls(parts: Parts) -> APIRouter:
    router = APIRouter(prefix="/v1/runtime/models")
    phases = parts.phases

    async def done(body: PhaseBody, *, applied: bool, **more: Any) -> dict[str, Any]:
        name = body.model_name or next(iter(await parts.engine.cards()), "")
        answer = {"status": "success", "model_name": name, "operation_id": body.operation_id, "applied": applied}
        return {**answer, "phase": await phases.phase(), **more}

    async def check(body: PhaseBody) -> None:
        if body.model_name and body.model_name not in (cards := await parts.engine.cards()):
            message = f"model_name = {body.model_name}, must be one of: {', '.join(cards)}"
            raise Problem(HTTPStatus.NOT_FOUND, message, param="model_name")

    @router.post("/sleep")
    async def sleep(body: SleepBody) -> dict[str, Any]:
        """Put the engine to sleep as soon as it is idle."""
        await check(body)
        return await done(body, applied=await phases.sleep(body.level, body.drain_s))

    @router.post("/wake")
    async def wake(body: PhaseBody) -> dict[str, Any]:
        """End a sleep or a drain."""
        await check(body)
        return await done(body, applied=await phases.wake())

    @router.post("/drain")
    async def drain(body: DrainBody) -> dict[str, Any]:
        """Say that no requests are wanted, and wait until the engine has none."""
        await check(body)
        left = await phases.drain(body.timeout_s)
        return await done(body, applied=True, requests=left)

    @router.get("")
    async def runtime_models() -> dict[str, Any]:
        """Return the engine's models with its phase, adapters left out."""
        phase, cards = await phases.phase(), await parts.engine.cards()
        names = [name for name, card in cards.items() if not card.get("parent")]
        return {"models": [_model_info(name, parts.settings.port, phase) for name in names]}

    return router


def _model_info(name: str, port: int, phase: str) -> dict[str, Any]:
    """Return the fields of AIBrix's RuntimeModelInfo; there is no kvcached here, so that its own are 0."""
    is_ready = phase == "active"
    shared_memory = {"ipc_name": "", "kv_used_bytes": 0, "kv_total_bytes": 0}
    return {"model_name": name, "port": port, "phase": phase, "ready": is_ready, **shared_memory}


async def _on_problem(_request: Request, error: Problem) -> Response:
    return JSONResponse(error.body(), error.status)


async def _on_invalid(_request: Request, error: RequestValidationError) -> Response:
    """Answer 422: each wrong field in a clause, `param` names the first."""
    details: Sequence[Any] = error.errors()
    clauses = [f"{_field(detail) or 'the body'}: {detail['msg']}" for detail in details]
    problem = Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(clauses), param=_field(details[0]) or None)
    return JSONResponse(problem.body(), problem.status)


def _field(detail: Any) -> str:
    return ".".join(str(part) for part in detail["loc"][1:] if isinstance(part, str | int))


async def _on_http_error(_request: Request, error: HTTPException) -> Response:
    return JSONResponse(Problem(error.status_code, error.detail).body(), error.status_code, error.headers)
