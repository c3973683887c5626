"""Calls to engines about LoRA adapters: which they have, load one, unload one; through the runtime where there is one.

Lives here: paths, bodies, time limits, and an engine's own words for what went wrong.  Not here: when to call
(controller).  vLLM: `/v1/load_lora_adapter`; SGLang: `/load_lora_adapter`; the runtime: `/v1/lora_adapter/load`.
"""

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx2

from autoscaling.exposition import NoExpositionError, parse
from controllers.modeladapter.objects import API_KEY, BY_ENGINE, Adapter, Host

ASK_S = 3.0
"""Time limit of a question."""
LOAD_S, UNLOAD_S = 600.0, 30.0
"""Time limits of loading, which may fetch some gigabytes first, and of unloading."""
MOST_BYTES = 8 << 20
"""The longest answer that is read."""
WORDS = 500
"""Characters of an engine's words that are kept."""
MOST_AT_ONCE = 64
_NO_PATH = (
    "the engine has no such path: it was started without --enable-lora, or VLLM_ALLOW_RUNTIME_LORA_UPDATING is not set"
)


class EngineError(Exception):
    """An engine refused, or did not answer; the message is its own words where it had some."""


class Work(NamedTuple):
    """Figures that an engine tells of its work; one that it does not tell is None."""

    slots: int | None = None
    """Adapters that it serves without swapping."""
    latency_s: float | None = None
    """Mean time of all its requests, their wait among it."""
    tokens: float | None = None
    """Tokens so far, prompt tokens twice: AIBrix's measure for `leastThroughput`."""


NO_WORK = Work()


def work_of(page: bytes) -> Work:
    """Return what a page of metrics says."""
    try:
        found = parse(page)
    except NoExpositionError:
        return NO_WORK
    slots = [one.labels.get("max_lora", "") for one in found.series("vllm:lora_requests_info")]
    spent = found.total("e2e_request_latency_seconds")
    prompt, generated = found.value("prompt_tokens_total"), found.value("generation_tokens_total")
    return Work(
        max((int(number) for number in slots if number.isdecimal()), default=0) or None,
        spent.amount / spent.number if spent and spent.number else None,
        2 * prompt + generated if prompt is not None and generated is not None else None,
    )


class Engines:
    """Asks engines, each over a connection of its own: a restarted one must not be taken for the one before."""

    def __init__(self) -> None:
        limits = httpx2.Limits(max_keepalive_connections=0)
        self._http = httpx2.AsyncClient(limits=limits, timeout=None, trust_env=False)
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def models(self, host: Host, config: Mapping[str, str]) -> frozenset[str]:
        """Return the names of all models that an engine lists.  Raises EngineError."""
        async with self._turns:
            body = await self._call("GET", _url(host.ip, host.port, "/v1/models"), ASK_S, config=config)
        try:
            return frozenset(str(card["id"]) for card in json.loads(body)["data"])
        except (ValueError, TypeError, KeyError) as error:
            raise EngineError("GET /v1/models: the answer is no list of models") from error

    async def work(self, host: Host, config: Mapping[str, str]) -> Work:
        """Return what an engine's metrics say of its work; nothing where it has none."""
        try:
            async with self._turns:
                page = await self._call("GET", _url(host.ip, host.port, "/metrics"), ASK_S, config=config)
        except EngineError:
            return NO_WORK
        return work_of(page)

    async def load(self, host: Host, adapter: Adapter, credentials: Mapping[str, str]) -> None:
        """Have an engine load an adapter, which it then lists.  Raises EngineError."""
        name, spec = adapter.metadata.name, adapter.spec
        if host.sidecar_port is not None:
            body: dict[str, Any] = {"lora_name": name, "artifact_url": spec.artifact_url}
            body |= {"credentials": dict(credentials)} if credentials else {}
            body |= {"additional_config": spec.additional_config} if spec.additional_config else {}
            await self._load(_url(host.ip, host.sidecar_port, "/v1/lora_adapter/load"), body, spec.additional_config)
            return
        if not spec.artifact_url.startswith(BY_ENGINE):
            raise EngineError(
                f"{spec.artifact_url} needs a container {'aibrix-runtime'!r} beside the engine to fetch it"
            )
        body = {"lora_name": name, "lora_path": _path(spec.artifact_url)}
        await self._load(_url(host.ip, host.port, _engine_path(host, "load")), body, spec.additional_config)

    async def _load(self, url: str, body: Mapping[str, Any], config: Mapping[str, str]) -> None:
        try:
            await self._call("POST", url, LOAD_S, body, config)
        except EngineError as error:
            if "already" not in str(error):
                raise

    async def unload(self, host: Host, adapter: Adapter) -> None:
        """Have an engine forget an adapter.  Raises EngineError."""
        name, config = adapter.metadata.name, adapter.spec.additional_config
        if host.sidecar_port is not None:
            url = _url(host.ip, host.sidecar_port, "/v1/lora_adapter/unload")
            await self._call("POST", url, UNLOAD_S, {"lora_name": name, "cleanup_local": True}, config)
        else:
            url = _url(host.ip, host.port, _engine_path(host, "unload"))
            await self._call("POST", url, UNLOAD_S, {"lora_name": name}, config)

    async def _call(
        self, method: str, url: str, limit_s: float, body: Mapping[str, Any] | None = None,
        config: Mapping[str, str] | None = None,
    ) -> bytes:  # fmt: skip
        """Return the body of an answer 200.  Raises EngineError."""
        key = (config or {}).get(API_KEY, "")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        path = httpx2.URL(url).path
        try:
            async with (
                asyncio.timeout(limit_s),
                self._http.stream(method, url, json=body, headers=headers) as answer,
            ):  # fmt: skip
                content = b""
                async for piece in answer.aiter_bytes():
                    content += piece
                    if len(content) > MOST_BYTES:
                        raise EngineError(f"{method} {path}: an answer of more than {MOST_BYTES} bytes")
        except TimeoutError as error:
            raise EngineError(f"{method} {path}: no answer in {limit_s:g} s") from error
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
            raise EngineError(f"{method} {path}: {str(error) or type(error).__name__}") from error
        if answer.status_code != HTTPStatus.OK:
            raise EngineError(_refusal(method, path, answer.status_code, content))
        return content


def _refusal(method: str, path: str, status: int, content: bytes) -> str:
    """Return an engine's words for a refusal, and the usual cause of a path that it does not have."""
    words = _words(content)
    if status == HTTPStatus.NOT_FOUND and path.endswith("lora_adapter") and words in ("Not Found", ""):
        words = _NO_PATH
    return f"{method} {path} answered {status}: {words}" if words else f"{method} {path} answered {status}"


def _words(content: bytes) -> str:
    """Return the message in an error body of OpenAI's form, of FastAPI's, or the text itself, in one line."""
    try:
        said: Any = json.loads(content)
    except ValueError:
        said = content.decode(errors="replace")
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and name in said:
            said = said[name]
    return " ".join((said if isinstance(said, str) else json.dumps(said)).split())[:WORDS]


def _engine_path(host: Host, verb: str) -> str:
    return f"/{verb}_lora_adapter" if host.engine == "sglang" else f"/v1/{verb}_lora_adapter"


def _path(url: str) -> str:
    """Return what an engine is told: a path, or the name of a repository of the Hub."""
    return url if url.startswith("/") else url.partition("://")[2]


def _url(ip: str, port: int, path: str) -> str:
    return f"http://{f'[{ip}]' if ':' in ip else ip}:{port}{path}"
