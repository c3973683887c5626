"""What operators ask of an engine: vLLM's routes for adapters and sleep, and our own under /sim.

Lives here: routes that change the engine.  Not here: those that only show it (http), requests (generating).
"""

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from simulator.core.adapters import AdapterLoadedError, UnknownAdapterError
from simulator.core.speed import ScaledSpeed, Speed, steady
from simulator.openai import requests
from simulator.openai.errors import AdapterThereError, NoAdapterError, ParameterError, parse_json
from simulator.openai.replies import json_reply, refusing
from simulator.serving.engine import Engine
from simulator.serving.faults import Fault, Faults

SLEEP_LEVELS = {"1": 1, "2": 2}
VARY = {"vary": "Origin"}


class SpeedBody(BaseModel):
    """The body of POST /sim/speed: how fast the engine is from now on, beside what its GPU says."""

    model_config = ConfigDict(extra="forbid")

    tokens_per_s: float | None = Field(default=None, gt=0)
    """Of each answer, whatever else runs; every pass takes that long."""
    factor: float = Field(default=1.0, gt=0)
    """So many times as fast."""

    def speed(self, gpu: Speed) -> Speed:
        """The speed to use."""
        return ScaledSpeed(gpu if self.tokens_per_s is None else steady(self.tokens_per_s), self.factor)


class Control:
    """The routes of one engine."""

    def __init__(self, engine: Engine, faults: Faults) -> None:
        self._engine = engine
        self._faults = faults

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/v1/load_lora_adapter", refusing(self.load_adapter), methods=["POST"]),
            Route("/v1/unload_lora_adapter", refusing(self.unload_adapter), methods=["POST"]),
            Route("/sleep", refusing(self.sleep), methods=["POST"]),
            Route("/wake_up", self.wake_up, methods=["POST"]),
            Route("/is_sleeping", self.is_sleeping),
            Route("/reset_prefix_cache", self.reset_prefix_cache, methods=["POST"]),
            Route("/sim/fault", refusing(self.add_fault), methods=["POST"]),
            Route("/sim/fault", self.clear_faults, methods=["DELETE"]),
            Route("/sim/speed", refusing(self.set_speed), methods=["POST"]),
        ]

    async def load_adapter(self, request: Request) -> Response:
        """POST /v1/load_lora_adapter."""
        body = requests.validated(requests.LoadAdapterBody, parse_json(await request.body()))
        try:
            self._engine.load_adapter(body.lora_name)
        except AdapterLoadedError as error:
            raise AdapterThereError(body.lora_name) from error
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' added successfully.", headers=VARY)

    async def unload_adapter(self, request: Request) -> Response:
        """POST /v1/unload_lora_adapter."""
        body = requests.validated(requests.UnloadAdapterBody, parse_json(await request.body()))
        try:
            self._engine.unload_adapter(body.lora_name)
        except UnknownAdapterError as error:
            raise NoAdapterError(body.lora_name) from error
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.", headers=VARY)

    async def sleep(self, request: Request) -> Response:
        """POST /sleep?level=1: requests hang until it is woken."""
        level = request.query_params.get("level", "1")
        if level not in SLEEP_LEVELS:
            raise ParameterError("level must be 1 or 2.", "level", level)
        self._engine.sleep(SLEEP_LEVELS[level])
        return json_reply(orjson.dumps({"status": "sleeping", "level": SLEEP_LEVELS[level]}))

    async def wake_up(self, _: Request) -> Response:
        """POST /wake_up."""
        self._engine.wake()
        return json_reply(orjson.dumps({"status": "awake", "tags": None}))

    async def is_sleeping(self, _: Request) -> Response:
        """GET /is_sleeping."""
        return json_reply(orjson.dumps({"is_sleeping": self._engine.state.sleep_level > 0}))

    async def reset_prefix_cache(self, _: Request) -> Response:
        """POST /reset_prefix_cache."""
        return json_reply(orjson.dumps({"success": self._engine.clear_cache()}))

    async def add_fault(self, request: Request) -> Response:
        """POST /sim/fault; answers with what is pending."""
        self._faults.add(requests.validated(Fault, parse_json(await request.body())))
        return self._pending()

    async def clear_faults(self, _: Request) -> Response:
        """DELETE /sim/fault."""
        self._faults.clear()
        return self._pending()

    async def set_speed(self, request: Request) -> Response:
        """POST /sim/speed; answers with what now holds."""
        body = requests.validated(SpeedBody, parse_json(await request.body()))
        self._engine.set_speed(body.speed(self._engine.profile.gpu.speed))
        return json_reply(orjson.dumps(body.model_dump()))

    def _pending(self) -> Response:
        return json_reply(orjson.dumps([fault.model_dump() for fault in self._faults.pending]))
