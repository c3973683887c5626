"""Routes that change the engine: vLLM's for adapters, sleep and the cache, and our own under /sim.

Not here: routes that only show the engine (routes), generating requests (endpoints).
"""

from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from simulator.core.adapters import AdapterLoadedError, UnknownAdapterError
from simulator.core.speed import ScaledSpeed, Speed, steady
from simulator.openai import requests
from simulator.openai.errors import (
    AdapterExistsError,
    AdapterNotFoundError,
    AdapterTooLargeError,
    ParameterError,
    parse_json,
)
from simulator.serving.adapter_files import MAX_RANK, rank_of
from simulator.serving.async_engine import AsyncEngine
from simulator.serving.faults import Fault, Faults
from simulator.serving.json_responses import Endpoint, answering_errors, json_response, not_for_pages

SLEEP_LEVELS = {"1": 1, "2": 2}
CACHE_TAG = "kv_cache"
VARY = {"vary": "Origin"}


class SpeedBody(BaseModel):
    """The body of POST /sim/speed: how fast the engine is from now on, instead of what its GPU profile says."""

    model_config = ConfigDict(extra="forbid")

    tokens_per_s: float | None = Field(default=None, gt=0)
    """Output tokens per second of each response, however many run; null: as the GPU profile says."""
    factor: float = Field(default=1.0, gt=0)
    """Multiplies the speed."""

    def speed(self, gpu: Speed) -> Speed:
        """Return the speed to use."""
        return ScaledSpeed(gpu if self.tokens_per_s is None else steady(self.tokens_per_s), self.factor)


class RpcBody(BaseModel):
    """The body of POST /collective_rpc."""

    method: Literal["reload_weights"]


class ControlRoutes:
    """The routes of one engine that change it."""

    def __init__(self, engine: AsyncEngine, faults: Faults) -> None:
        self._engine = engine
        self._faults = faults

    def routes(self) -> list[Route]:
        """Return all of them; none does anything for a web page, on whose behalf a browser adds the header `origin`."""
        return [Route(path, not_for_pages(endpoint), methods=[method]) for method, path, endpoint in self._table()]

    def _table(self) -> list[tuple[str, str, Endpoint]]:
        return [
            ("POST", "/v1/load_lora_adapter", answering_errors(self.load_adapter)),
            ("POST", "/v1/unload_lora_adapter", answering_errors(self.unload_adapter)),
            ("POST", "/sleep", answering_errors(self.sleep)),
            ("POST", "/wake_up", self.wake_up),
            ("GET", "/is_sleeping", self.is_sleeping),
            ("POST", "/collective_rpc", answering_errors(self.collective_rpc)),
            ("POST", "/reset_prefix_cache", self.reset_prefix_cache),
            ("POST", "/sim/fault", answering_errors(self.add_fault)),
            ("DELETE", "/sim/fault", self.clear_faults),
            ("POST", "/sim/speed", answering_errors(self.set_speed)),
        ]

    async def load_adapter(self, request: Request) -> Response:
        """POST /v1/load_lora_adapter."""
        body = requests.validated(requests.LoadAdapterBody, parse_json(await request.body()))
        if (rank := rank_of(body.lora_path)) > MAX_RANK:
            raise AdapterTooLargeError(rank, MAX_RANK)
        try:
            self._engine.load_adapter(body.lora_name, body.lora_path)
        except AdapterLoadedError as error:
            raise AdapterExistsError(body.lora_name) from error
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' added successfully.", headers=VARY)

    async def unload_adapter(self, request: Request) -> Response:
        """POST /v1/unload_lora_adapter."""
        body = requests.validated(requests.UnloadAdapterBody, parse_json(await request.body()))
        try:
            self._engine.unload_adapter(body.lora_name)
        except UnknownAdapterError as error:
            raise AdapterNotFoundError(body.lora_name) from error
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.", headers=VARY)

    async def sleep(self, request: Request) -> Response:
        """POST /sleep?level=1: requests wait until the engine is woken."""
        level = request.query_params.get("level", "1")
        if level not in SLEEP_LEVELS:
            raise ParameterError("level must be 1 or 2.", "level", level)
        self._engine.sleep(SLEEP_LEVELS[level])
        return json_response(orjson.dumps({"status": "sleeping", "level": SLEEP_LEVELS[level]}))

    async def wake_up(self, request: Request) -> Response:
        """POST /wake_up: requests go on when the cache has its memory back; `?tags=weights` is only the first half."""
        tags = request.query_params.getlist("tags")
        if not tags or CACHE_TAG in tags:
            self._engine.wake()
        return json_response(orjson.dumps({"status": "awake", "tags": tags or None}))

    async def collective_rpc(self, request: Request) -> Response:
        """POST /collective_rpc: of vLLM's workers, of which there is one; it has no weights to read."""
        requests.validated(RpcBody, parse_json(await request.body()))
        return json_response(orjson.dumps({"results": [None]}))

    async def is_sleeping(self, _: Request) -> Response:
        """GET /is_sleeping."""
        return json_response(orjson.dumps({"is_sleeping": self._engine.state.sleep_level > 0}))

    async def reset_prefix_cache(self, _: Request) -> Response:
        """POST /reset_prefix_cache."""
        return json_response(orjson.dumps({"success": self._engine.clear_cache()}))

    async def add_fault(self, request: Request) -> Response:
        """POST /sim/fault: returns the pending faults."""
        self._faults.add(requests.validated(Fault, parse_json(await request.body())))
        return self._pending()

    async def clear_faults(self, _: Request) -> Response:
        """DELETE /sim/fault: returns the pending faults, none."""
        self._faults.clear()
        return self._pending()

    async def set_speed(self, request: Request) -> Response:
        """POST /sim/speed: returns the setting."""
        body = requests.validated(SpeedBody, parse_json(await request.body()))
        self._engine.set_speed(body.speed(self._engine.profile.gpu.speed))
        return json_response(orjson.dumps(body.model_dump()))

    def _pending(self) -> Response:
        return json_response(orjson.dumps([fault.model_dump() for fault in self._faults.pending]))
