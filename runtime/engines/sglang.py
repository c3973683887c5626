"""SGLang: adapters at /load_lora_adapter, memory at /release_memory_occupation.

Lives here: paths, bodies, and what its refusals mean (its HTTP server's and its page "LoRA Serving").  Adapters need
`--enable-lora`, releasing memory `--enable-memory-saver`.
"""

from http import HTTPStatus
from typing import Any, ClassVar

import httpx
import orjson

from runtime.engines.calls import refusal, words
from runtime.engines.engine import Engine
from runtime.errors import Problem, not_offered

NO_SAVER = "the engine releases no memory: start it with --enable-memory-saver"
_LOADED_ALREADY = ("already loaded", "already exists")
_NOT_LOADED = ("does not exist", "not loaded", "not found")


class Sglang(Engine):
    """An SGLang."""

    kind: ClassVar[str] = "sglang"
    load_families: ClassVar[tuple[str, ...]] = ("sglang:num_running_reqs", "sglang:num_queue_reqs")

    async def load_adapter(self, name: str, path: str) -> str:
        """POST /load_lora_adapter."""
        answer = await self.calls.change("/load_lora_adapter", {"lora_name": name, "lora_path": path})
        return self._done(answer, HTTPStatus.CONFLICT, _LOADED_ALREADY)

    async def unload_adapter(self, name: str) -> str:
        """POST /unload_lora_adapter."""
        answer = await self.calls.change("/unload_lora_adapter", {"lora_name": name})
        return self._done(answer, HTTPStatus.NOT_FOUND, _NOT_LOADED)

    def _done(self, answer: httpx.Response, status: int, signs: tuple[str, ...]) -> str:
        """Return the engine's words; a refusal (all are 400) that says one of `signs` has another status."""
        said = words(answer)
        if answer.status_code == HTTPStatus.BAD_REQUEST and any(sign in said for sign in signs):
            raise Problem(status, said, "EngineError")
        return self.done(answer)

    async def sleep(self, level: int) -> None:  # noqa: ARG002 - the engine's own flag decides where the weights go
        """POST /release_memory_occupation: the memory of weights and cache."""
        if not (await self._server_info()).get("enable_memory_saver"):
            raise not_offered(NO_SAVER)
        self._must(await self.calls.change("/release_memory_occupation", {}))

    async def wake(self) -> None:
        """POST /resume_memory_occupation; weights that were not kept are read again from the model's own path."""
        info = await self._server_info()
        self._must(await self.calls.change("/resume_memory_occupation", {}))
        if not info.get("enable_weights_cpu_backup"):
            body = {"model_path": info.get("model_path", "")}
            self._must(await self.calls.change("/update_weights_from_disk", body))

    async def _server_info(self) -> dict[str, Any]:
        answer = await self.calls.ask("GET", "/get_server_info")
        info = orjson.loads(self.done(answer))
        return info if isinstance(info, dict) else {}

    def _must(self, answer: httpx.Response) -> None:
        if not answer.is_success:
            raise refusal(answer)
