"""An engine of the user's, named by its URL: what it serves, and of which kind it is.

Lives here: reading the URL, finding its address, asking it once.  Not here: asking again (forebay.local.engine_watch),
whether it is healthy (gateway.discovery.probing).
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import orjson

from forebay.local.asking import OK, TIMEOUT_S, NoAnswerError, ask
from gateway.config.addresses import MAX_PORT, joined_address
from gateway.discovery.probing.http_get import Response

_HTTP_PORT = 80
_WANTS_KEY = (401, 403)
_METRICS_PREFIXES = {"vllm": b"vllm:", "sglang": b"sglang:", "trtllm": b"trtllm_"}
_OWNERS = {"vllm": "vllm", "sglang": "sglang", "tensorrt_llm": "trtllm"}
"""Value of `owned_by` in an engine's list of models -> the kind of engine.  SGLang has no metrics unless asked to."""

Adapters: TypeAlias = tuple[str, ...]


class EngineError(Exception):
    """An engine cannot be used now; the message says why."""


class EngineUrl(NamedTuple):
    """The place of an engine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"http://{self.name}"

    @property
    def name(self) -> str:
        """The name of its pod: `host:port`."""
        return joined_address(self.host, self.port)


class Engine(NamedTuple):
    """The answer of an engine."""

    address: str  # ip:port
    kind: str  # as `engine` of an endpoint
    models: dict[str, Adapters]  # model -> its loaded adapters


def parse_engine_url(text: str) -> EngineUrl:
    """Read `http://host:port`; a path `/v1` is what OpenAI clients are given, and is ignored.

    Raises ValueError that states the rule.
    """
    url = urlsplit(text)
    if url.scheme == "https":
        raise ValueError("engines are reached by http only, https is not supported yet")
    is_plain = url.scheme == "http" and url.path.rstrip("/") in {"", "/v1"} and not (url.query or url.fragment)
    if not is_plain or url.hostname is None or "@" in url.netloc or any(mark in text for mark in " \t\n"):
        raise ValueError("must be http://host:port")
    try:
        port = url.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"must have a port of 1 to {MAX_PORT}")
    return EngineUrl(url.hostname, port or _HTTP_PORT)


async def ask_engine(url: EngineUrl, known: Engine | None = None) -> Engine:
    """Ask an engine which models it serves; the kind of a known one at the same address is not asked again.

    The host may have several addresses; the known one is asked first, and the first that answers is taken.  Raises
    EngineError.
    """
    addresses = await _addresses(url)
    if known and known.address in addresses:
        addresses.remove(known.address)
        addresses.insert(0, known.address)
    why = ""
    for address in addresses:
        try:
            return await _ask_at(address, known)
        except EngineError as error:
            why = str(error)
    raise EngineError(why)


async def ask_engines(urls: Sequence[EngineUrl]) -> list[tuple[EngineUrl, Engine]]:
    """Ask several engines at once.  Raises EngineError, which names its URL, when one cannot be used."""

    async def ask(url: EngineUrl) -> tuple[EngineUrl, Engine]:
        try:
            return url, await ask_engine(url)
        except EngineError as error:
            raise EngineError(f"--engine-url = {url}, {error}") from None

    return await asyncio.gather(*map(ask, urls))


async def _addresses(url: EngineUrl) -> list[str]:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        raise EngineError(f"the name {url.host} has no address") from None
    return list(dict.fromkeys(joined_address(*address[:2]) for *_, address in found))


async def _ask_at(address: str, known: Engine | None) -> Engine:
    answer = await _get(address, "/v1/models")
    if answer.status in _WANTS_KEY:
        raise EngineError(
            f"/v1/models answers {answer.status}: it wants an API key; describe it in a file, --models FILE, and have"
            " clients send the key"
        )
    if answer.status != OK:
        raise EngineError(f"/v1/models answers {answer.status}")
    try:
        cards = [
            (str(card["id"]), card.get("parent"), card.get("owned_by")) for card in orjson.loads(answer.body)["data"]
        ]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise EngineError("/v1/models does not answer a list of models") from None
    if known and known.address == address:
        kind = known.kind
    else:
        kind = await _kind(address, cards[0][2] if cards else None)
    return Engine(address, kind, _models(cards))


def _models(cards: list[tuple[str, Any, object]]) -> dict[str, Adapters]:
    """Return each base model with its adapters, which name it as their parent."""
    names = {name for name, _, _ in cards}
    bases = [name for name, parent, _ in cards if parent not in names - {name}]
    return {base: tuple(name for name, parent, _ in cards if parent == base != name) for base in bases}


async def _kind(address: str, owner: object) -> str:
    """Return the kind of engine: by the names of its metrics, else by who it says owns the models."""
    try:
        page = b"\n" + (await _get(address, "/metrics")).body
    except EngineError:
        page = b""
    by_metrics = next((kind for kind, prefix in _METRICS_PREFIXES.items() if b"\n" + prefix in page), "")
    return by_metrics or _OWNERS.get(str(owner), "other")


async def _get(address: str, path: str) -> Response:
    try:
        return await ask(address, path)
    except NoAnswerError as error:
        raise EngineError(str(error)) from None
