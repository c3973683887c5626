"""Any engine with OpenAI's API: its health, its models, its metrics.

Lives here: what all engines have, and what is said where one has no adapters or no sleep.  Not here: how vLLM and
SGLang spell these (vllm, sglang), HTTP (calls).
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar, Self

import httpx
import orjson

from runtime.engines.calls import Calls, refusal
from runtime.errors import Problem, not_offered

QUICK_S = 0.8
"""Time for a question whose answer an engine has at hand, in seconds: kubelets give a probe 1 s in all."""
SCRAPE_S = 1.0
"""Time for the engine's page of metrics, in seconds (AIBrix's own limit)."""


class Engine:
    """An engine; subclasses know one kind better."""

    kind: ClassVar[str] = "openai"
    load_families: ClassVar[tuple[str, ...]] = ()
    """Gauges whose sum is the number of requests that the engine has; nothing where that is not known."""

    def __init__(self, calls: Calls, metrics_path: str = "/metrics") -> None:
        self.calls = calls
        self._metrics_path = metrics_path

    def speaking_for(self, authorization: str) -> Self:
        """Return the same engine, asked with this `authorization` header; an empty one changes nothing."""
        return type(self)(self.calls.with_authorization(authorization), self._metrics_path)

    async def check(self) -> None:
        """Raise Problem unless the engine says that it lives; one without the path /health passes."""
        answer = await self.calls.ask("GET", "/health", timeout_s=QUICK_S)
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            message = f"the engine answers {answer.status_code} for /health"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, message)

    async def models(self, timeout_s: float = QUICK_S) -> dict[str, Any]:
        """Return the engine's own list of models, adapters among them.  Raises Problem."""
        answer = await self.calls.ask("GET", "/v1/models", timeout_s=timeout_s)
        if not answer.is_success:
            raise refusal(answer)
        try:
            listed = orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            listed = None
        if not isinstance(listed, dict) or not isinstance(listed.get("data"), list):
            raise Problem(HTTPStatus.BAD_GATEWAY, "the engine's /v1/models is no list of models")
        return listed

    async def cards(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the cards of the models that the engine serves, by name.  Raises Problem."""
        listed = (await self.models())["data"]
        return {card["id"]: card for card in listed if isinstance(card, dict) and isinstance(card.get("id"), str)}

    async def metrics_page(self) -> str:
        """Return the engine's page for Prometheus.  Raises Problem."""
        answer = await self.calls.ask("GET", self._metrics_path, timeout_s=SCRAPE_S)
        if not answer.is_success:
            raise Problem(HTTPStatus.BAD_GATEWAY, f"the engine answers {answer.status_code} for {self._metrics_path}")
        return answer.text

    async def is_sleeping(self) -> bool | None:
        """Return whether the engine sleeps; None where it does not tell."""
        return None

    async def load_adapter(self, name: str, path: str) -> str:
        """Load an adapter from a path that the engine can read; return the engine's words.  Raises Problem.

        409 means that one of this name is loaded, 404 that there is nothing at the path.
        """
        raise self._no_adapters(name, path)

    async def unload_adapter(self, name: str) -> str:
        """Unload an adapter; return the engine's words.  Raises Problem, 404 for one that is not loaded."""
        raise self._no_adapters(name)

    async def sleep(self, level: int) -> None:
        """Give memory of the GPU back: level 1 keeps the weights in the host's memory, level 2 nothing."""
        raise self._no_sleep(level)

    async def wake(self) -> None:
        """End a sleep; return when the engine can serve again.  Raises Problem."""
        raise self._no_sleep()

    def _no_adapters(self, *_: object) -> Problem:
        return not_offered(f"the runtime knows no way to load adapters at INFERENCE_ENGINE={self.kind}")

    def _no_sleep(self, *_: object) -> Problem:
        return not_offered(f"the runtime knows no way to put INFERENCE_ENGINE={self.kind} to sleep")

    @staticmethod
    def done(answer: httpx.Response) -> str:
        """Return the engine's words of an answer that is a success.  Raises Problem with its words for any other."""
        if not answer.is_success:
            raise refusal(answer)
        return answer.text.strip()
