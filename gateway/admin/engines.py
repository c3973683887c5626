"""LoRA adapters of engines that no controller looks after: which pods have which, loading them where there is room.

Lives here: the choice of pods, the calls to engines, and their own words for what went wrong.  Not here: the admin
REST's bodies (adapters), the choice among equals (routing.placement), learning what engines list (discovery.naming).
Only pods with `adapters: auto` count: of others nobody would learn what they have loaded.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from random import Random
from typing import NamedTuple

import orjson

from gateway.discovery.probing.http_get import AnswerError, Response
from gateway.fleet.pod import Pod, PodState
from routing.placement import Ask, Host, Policy, place

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


class AdapterError(Exception):
    """A call that was not done; `status` and `code` are those of its answer, `param` the field that is to blame."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param


class Adapter(NamedTuple):
    """An adapter that engines list."""

    name: str
    model: str
    pods: tuple[str, ...]  # their names, sorted


class Engines:
    """The engines of a fleet; `pods` returns all of them."""

    def __init__(self, pods: Callable[[], Iterable[Pod]], post: Post, rng: Random) -> None:
        self._pods = pods
        self._post = post
        self._rng = rng
        self._turn = asyncio.Lock()  # so that the second of two calls sees what the first has chosen

    def adapters(self) -> list[Adapter]:
        """Return all adapters, by name."""
        found: dict[str, tuple[str, list[str]]] = {}
        for pod in self._listing():
            for name in self._adapters_of(pod):
                found.setdefault(name, (pod.endpoint.models[0], []))[1].append(pod.endpoint.name)
        return [Adapter(name, model, tuple(sorted(pods))) for name, (model, pods) in sorted(found.items())]

    async def load(self, model: str, name: str, path: str, replicas: int, policy: Policy) -> Adapter:
        """Load an adapter on so many pods of its model, those that have it counted; all pods where there are fewer.

        Raises AdapterError: 404 for a model that no pod serves, 409 for a name that is a model's or another model's
        adapter's, 503 while no pod is ready, 502 with the words of an engine that refuses.
        """
        async with self._turn:
            chosen = self._chosen(model, name, replicas, policy)
            has = {pod.endpoint.id for pod in chosen if name in pod.endpoint.models}
            body = orjson.dumps({"lora_name": name, "lora_path": path})
            await self._call([pod for pod in chosen if pod.endpoint.id not in has], 0, body, fine="already")
        return Adapter(name, model, tuple(sorted(pod.endpoint.name for pod in chosen)))

    async def unload(self, name: str) -> Adapter:
        """Unload an adapter everywhere and return where it was.  Raises AdapterError: 404, or 502 as for a load."""
        async with self._turn:
            found = next((one for one in self.adapters() if one.name == name), None)
            if found is None:
                raise AdapterError(HTTPStatus.NOT_FOUND, f"Adapter: {name} does not exist", "adapter_not_found", "name")
            pods = [pod for pod in self._listing() if name in self._adapters_of(pod)]
            await self._call(pods, 1, orjson.dumps({"lora_name": name}), fine="not")
        return found

    def _chosen(self, model: str, name: str, replicas: int, policy: Policy) -> list[Pod]:
        listing = {pod.endpoint.id: pod for pod in self._listing()}
        if name in self._bases() or any(one.name == name and one.model != model for one in self.adapters()):
            raise AdapterError(HTTPStatus.CONFLICT, f"name = {name}, is taken by another model", "name_taken", "name")
        own = [pod for pod in listing.values() if pod.endpoint.models[0] == model]
        if not own:
            message = f"model = {model}, no pod with `adapters: auto` serves it"
            raise AdapterError(HTTPStatus.NOT_FOUND, message, "model_not_found", "model")
        ready = [pod.endpoint.id for pod in own if pod.state is PodState.READY]
        if not ready:
            message = f"model {model} has no ready pod"
            raise AdapterError(HTTPStatus.SERVICE_UNAVAILABLE, message, "service_unavailable")
        loaded: dict[str, list[str]] = {}
        for pod in own:
            for adapter in self._adapters_of(pod):
                loaded.setdefault(adapter, []).append(pod.endpoint.id)
        here = loaded.pop(name, [])
        others = [Ask(adapter, len(pods), pods, pods) for adapter, pods in loaded.items()]
        hosts = [Host(pod.endpoint.id, pod.adapters.slots) for pod in own]
        placed = place([*others, Ask(name, replicas, ready, here, policy)], hosts, self._rng)
        return [listing[pod] for pod in placed[name]]

    async def _call(self, pods: Sequence[Pod], which: int, body: bytes, fine: str) -> None:
        """Ask all these engines at the same time.  Raises AdapterError, which names every pod that refused and why.

        A refusal that says `fine` is none: the engine is as it should be.
        """
        said = await asyncio.gather(*(self._refusal(pod, which, body) for pod in pods))
        told = zip(pods, said, strict=True)
        refusals = [f"{pod.endpoint.name}: {words}" for pod, words in told if words and fine not in words]
        if refusals:
            raise AdapterError(HTTPStatus.BAD_GATEWAY, "; ".join(refusals), "engine_refused")

    async def _refusal(self, pod: Pod, which: int, body: bytes) -> str:
        """Return why an engine did not do it; empty = it did."""
        try:
            async with asyncio.timeout(LIMIT_S):
                answer = await self._post(pod.endpoint.address, PATHS[pod.endpoint.engine][which], body)
        except TimeoutError:
            return f"no answer in {LIMIT_S:g} s"
        except (AnswerError, OSError) as error:
            return str(error) or type(error).__name__
        return "" if answer.status == HTTPStatus.OK else _words(answer)

    def _listing(self) -> list[Pod]:
        return [one for one in self._pods() if one.endpoint.lists_adapters and one.endpoint.engine in PATHS]

    def _bases(self) -> set[str]:
        return {pod.endpoint.models[0] for pod in self._pods()}

    def _adapters_of(self, pod: Pod) -> tuple[str, ...]:
        return tuple(name for name in pod.endpoint.models[1:] if name not in self._bases())


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
