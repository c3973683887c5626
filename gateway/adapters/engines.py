"""Calls that load LoRA adapters on engines and unload them, and the engines' own words for what went wrong.

Lives here: paths, bodies, answers.  Not here: which engines (placing), when (keeper, desk).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson

from gateway.discovery.probing.http_get import AnswerError, Response
from routing.types import Endpoint

PATHS: Mapping[str, tuple[str, str]] = {
    "vllm": ("/v1/load_lora_adapter", "/v1/unload_lora_adapter"),
    "sglang": ("/load_lora_adapter", "/unload_lora_adapter"),
}
"""Engine -> its paths for loading and unloading."""
LIMIT_S = 300.0
"""Time for an engine to load an adapter, in seconds (chosen: some gigabytes from a slow disk)."""
WORDS = 500
"""Characters of an engine's words that are told."""

Post = Callable[[str, str, bytes], Awaitable[Response]]
"""POSTs a body to a path at `ip:port`; raises AnswerError and OSError."""


class Engines:
    """The engines, by `post`.  Both methods return why an engine did not do it; empty = it did."""

    def __init__(self, post: Post) -> None:
        self._post = post

    async def load(self, endpoint: Endpoint, name: str, path: str) -> str:
        """Load an adapter; one that is there already is fine."""
        return await self._call(endpoint, 0, {"lora_name": name, "lora_path": path}, fine="already")

    async def unload(self, endpoint: Endpoint, name: str) -> str:
        """Unload an adapter; one that is not there is fine."""
        return await self._call(endpoint, 1, {"lora_name": name}, fine="not")

    async def _call(self, endpoint: Endpoint, which: int, body: dict[str, Any], fine: str) -> str:
        """Ask an engine.  A refusal that says `fine` is none: the engine is as it should be."""
        try:
            async with asyncio.timeout(LIMIT_S):
                answer = await self._post(endpoint.address, PATHS[endpoint.engine][which], orjson.dumps(body))
        except TimeoutError:
            return f"no answer in {LIMIT_S:g} s"
        except (AnswerError, OSError) as error:
            return str(error) or type(error).__name__
        words = "" if answer.status == HTTPStatus.OK else _words(answer)
        return "" if fine in words else words


def _words(answer: Response) -> str:
    """Return the message of an engine's refusal: OpenAI's form, SGLang's, FastAPI's, or the text itself."""
    try:
        said = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        said = answer.body.decode(errors="replace")
    if isinstance(said, dict):
        error = said.get("error")
        nested = error.get("message") if isinstance(error, dict) else error
        said = nested or said.get("error_message") or said.get("detail") or ""
    if said == "Not Found":
        said = "the engine takes no adapters: VLLM_ALLOW_RUNTIME_LORA_UPDATING not set, or no --enable-lora"
    return str(said)[:WORDS] or f"status {answer.status}"
