"""A server with SGLang's paths for adapters and memory, which refuses what SGLang would refuse.

Written from SGLang's HTTP server and its page "LoRA Serving"; the words are those of its errors.
"""

from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

MODEL = "base"


@dataclass
class SglangServer:
    """An engine; its fields may be changed at any time."""

    adapters: dict[str, str] = field(default_factory=dict)
    max_rank_error: str = ""
    """The refusal of every load; empty = none."""
    has_memory_saver: bool = True
    keeps_weights: bool = False
    """`--enable-weights-cpu-backup`: else the weights are gone after memory was released."""
    has_memory: bool = True
    has_weights: bool = True
    running: int = 0
    calls: list[str] = field(default_factory=list)

    def client(self) -> httpx.AsyncClient:
        """Return a client of it."""
        paths = {
            "GET /health": self._health, "GET /v1/models": self._models, "GET /metrics": self._metrics,
            "GET /get_server_info": self._info, "POST /load_lora_adapter": self._load,
            "POST /unload_lora_adapter": self._unload, "POST /release_memory_occupation": self._release,
            "POST /resume_memory_occupation": self._resume, "POST /update_weights_from_disk": self._update,
        }  # fmt: skip
        routes = [Route(path.split()[1], call, methods=[path.split()[0]]) for path, call in paths.items()]
        transport = httpx.ASGITransport(app=Starlette(routes=routes))
        return httpx.AsyncClient(transport=transport, base_url="http://sglang")

    async def _body(self, request: Request, *names: str) -> dict[str, Any]:
        """The body, which must have exactly these fields; SGLang wants one for every call, if only `{}`."""
        body: dict[str, Any] = await request.json()
        assert set(names) == body.keys(), body
        self.calls.append(request.url.path)
        return body

    async def _health(self, _: Request) -> Response:
        return Response()

    async def _models(self, _: Request) -> Response:
        cards: list[dict[str, Any]] = [{"id": MODEL, "root": MODEL, "parent": None}]
        cards += [{"id": name, "root": path, "parent": MODEL} for name, path in self.adapters.items()]
        return JSONResponse({"object": "list", "data": cards})

    async def _metrics(self, _: Request) -> Response:
        lines = [f"sglang:num_running_reqs {self.running}", "sglang:num_queue_reqs 0"]
        return PlainTextResponse("".join(f"# TYPE {line.split()[0]} gauge\n{line}\n" for line in lines))

    async def _info(self, _: Request) -> Response:
        return JSONResponse({
            "model_path": "/models/base", "enable_memory_saver": self.has_memory_saver,
            "enable_weights_cpu_backup": self.keeps_weights,
        })  # fmt: skip

    async def _load(self, request: Request) -> Response:
        body = await self._body(request, "lora_name", "lora_path")
        name = body["lora_name"]
        if self.max_rank_error:
            return self._result(self.max_rank_error)
        if name in self.adapters:
            return self._result(f"LoRA with name {name} already exists. Loaded LoRAs: {self.adapters.keys()}")
        self.adapters[name] = body["lora_path"]
        return self._result("")

    async def _unload(self, request: Request) -> Response:
        name = (await self._body(request, "lora_name"))["lora_name"]
        if name not in self.adapters:
            return self._result(f"LoRA with name {name} does not exist. Loaded LoRAs: {self.adapters.keys()}")
        del self.adapters[name]
        return self._result("")

    def _result(self, error: str) -> Response:
        result = {"success": not error, "error_message": error, "loaded_adapters": self.adapters}
        return JSONResponse(result, 400 if error else 200)

    async def _release(self, request: Request) -> Response:
        await self._body(request)
        assert not self.running, "release_memory_occupation should be called only when server is idle."
        self.has_memory, self.has_weights = False, self.keeps_weights
        return Response()

    async def _resume(self, request: Request) -> Response:
        await self._body(request)
        assert not self.has_memory
        self.has_memory = True
        return Response()

    async def _update(self, request: Request) -> Response:
        body = await self._body(request, "model_path")
        assert self.has_memory
        assert "/models/base" == body["model_path"]
        self.has_weights = True
        return JSONResponse({"success": True, "message": "Succeeded to update model weights."})
