"""vLLM: adapters at /v1/load_lora_adapter, sleep at /sleep.

Lives here: paths, bodies, and what its refusals mean (recorded from vLLM 0.32.0).  Adapters need `--enable-lora` and in
its environment VLLM_ALLOW_RUNTIME_LORA_UPDATING=True; sleep needs `--enable-sleep-mode` and VLLM_SERVER_DEV_MODE=1.
"""

from http import HTTPStatus
from typing import ClassVar

import httpx
import orjson
from prometheus_client.parser import text_string_to_metric_families

from runtime.engines.calls import refusal, words
from runtime.engines.engine import QUICK_S, Engine
from runtime.errors import Problem, not_offered

NO_LORA = (
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING not set: the engine takes no adapters while it runs; start it with "
    "--enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
)
NO_SLEEP = "the engine has no /sleep: start it with --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1"
_LOADED_ALREADY = "already been loaded"
_NO_ROUTE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})


class Vllm(Engine):
    """A vLLM."""

    kind: ClassVar[str] = "vllm"
    load_families: ClassVar[tuple[str, ...]] = ("vllm:num_requests_running", "vllm:num_requests_waiting")

    async def load_adapter(self, name: str, path: str) -> str:
        """POST /v1/load_lora_adapter."""
        return self._adapters(await self.calls.change("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path}))

    async def unload_adapter(self, name: str) -> str:
        """POST /v1/unload_lora_adapter."""
        return self._adapters(await self.calls.change("/v1/unload_lora_adapter", {"lora_name": name}))

    def _adapters(self, answer: httpx.Response) -> str:
        if _has_no_route(answer):
            raise not_offered(NO_LORA)
        if answer.status_code == HTTPStatus.BAD_REQUEST and _LOADED_ALREADY in words(answer):
            raise Problem(HTTPStatus.CONFLICT, words(answer), "EngineError")
        return self.done(answer)

    async def is_sleeping(self) -> bool | None:
        """GET /is_sleeping; an engine without the path cannot sleep."""
        answer = await self.calls.ask("GET", "/is_sleeping", timeout_s=QUICK_S)
        if answer.status_code in _NO_ROUTE:
            return False
        return bool(orjson.loads(self.done(answer)).get("is_sleeping"))

    async def sleep(self, level: int) -> None:
        """POST /sleep."""
        self._slept(await self.calls.change(f"/sleep?level={level}"))

    async def wake(self) -> None:
        """POST /wake_up; after a level 2, which discards the weights, they are read again in between.

        As vLLM's page "Sleep Mode" prints it: memory for the weights, the weights, memory for the cache.
        """
        if not await self._has_discarded_weights():
            self._slept(await self.calls.change("/wake_up"))
            return
        self._slept(await self.calls.change("/wake_up?tags=weights"))
        self._slept(await self.calls.change("/collective_rpc", {"method": "reload_weights"}))
        self._slept(await self.calls.change("/wake_up?tags=kv_cache"))

    async def _has_discarded_weights(self) -> bool:
        """Return whether the engine sleeps at level 2, as its metrics say."""
        families = text_string_to_metric_families(await self.metrics_page())
        states = [one for family in families if family.name == "vllm:engine_sleep_state" for one in family.samples]
        return any(one.labels.get("sleep_state") == "discard_all" and one.value for one in states)

    def _slept(self, answer: httpx.Response) -> None:
        if answer.status_code in _NO_ROUTE:
            raise not_offered(NO_SLEEP)
        if not answer.is_success:
            raise refusal(answer)


def _has_no_route(answer: httpx.Response) -> bool:
    """Return whether the engine has no such path: FastAPI's `{"detail"}`, where vLLM's own 404 is `{"error"}`."""
    if answer.status_code not in _NO_ROUTE:
        return False
    try:
        value = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return True
    return not isinstance(value, dict) or "error" not in value
