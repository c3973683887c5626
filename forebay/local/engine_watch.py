"""Follows the engines that the user named by URL: writes the models file that gateway and Envoy read.

Lives here: asking again, what is said when an engine comes, changes or goes, the file's content.  Not here: asking once
(forebay.local.engine_url), reading the file (gateway.discovery).
"""

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from forebay.local.eds_file import PrintLine
from forebay.local.engine_url import Engine, EngineError, EngineUrl, ask_engine
from forebay.local.records import write_atomically

POLL_S = 2.0
"""Seconds between two questions to an engine (chosen): its name may get another address, it may load other models."""


class EngineWatch:
    """The engines at some URLs, as last seen; an engine that went away stays, and health checks take it out.

    `any_model` is set once any engine has told a model; all engines are in one `pool`.
    """

    def __init__(self, urls: Sequence[EngineUrl], models_file: Path, print_line: PrintLine, pool: str = "") -> None:
        self.any_model = asyncio.Event()
        self._urls = urls
        self._models_file = models_file
        self._print_line = print_line
        self._pool = pool
        self._engines: dict[EngineUrl, Engine] = {}
        self._failures: dict[EngineUrl, str] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask each engine before the block is entered, and again until it ends."""
        await self._round()
        task = asyncio.create_task(self._follow(), name="engines at URLs")
        try:
            yield
        finally:
            task.cancel()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._round()
            except Exception:  # noqa: BLE001 - supervision point
                self._print_line(f"engines could not be asked, which is tried again:\n{traceback.format_exc()}")

    async def _round(self) -> None:
        before = dict(self._engines)
        await asyncio.gather(*map(self._ask, self._urls))
        if self._engines == before and self._models_file.exists():
            return
        try:
            listed = yaml.safe_dump(listed_models(self._engines, self._pool), sort_keys=False)
            write_atomically(self._models_file, listed.encode())
        except OSError as error:
            self._print_line(f"{self._models_file} cannot be written: {error}")
            self._engines = before  # the next round finds the same difference and writes again
            return
        if any(engine.models for engine in self._engines.values()):
            self.any_model.set()

    async def _ask(self, url: EngineUrl) -> None:
        known = self._engines.get(url)
        try:
            engine = await ask_engine(url, known)
        except EngineError as error:
            if url not in self._failures:
                what = "no longer says what it serves" if known else "is not there yet and is taken in when it comes"
                self._print_line(f"engine     {url}  {what} ({error})")
            self._failures[url] = str(error)
            return
        was_away = self._failures.pop(url, "")
        if was_away or engine != known:
            self._print_line(f"engine     {url}  {_summary(engine)}")
        self._engines[url] = engine


def listed_models(engines: Mapping[EngineUrl, Engine], pool: str = "") -> list[dict[str, Any]]:
    """Return `models` of a configuration: each with the engines that serve it.  URLs of one address are one engine."""
    one_of_each: dict[str, tuple[EngineUrl, Engine]] = {}
    for url, engine in engines.items():
        one_of_each.setdefault(engine.address, (url, engine))
    models: dict[str, list[dict[str, Any]]] = {}
    for url, engine in one_of_each.values():
        for model, adapters in engine.models.items():
            endpoint = {"address": engine.address, "name": url.name, "engine": engine.kind, "pool": pool}
            models.setdefault(model, []).append(endpoint | ({"adapters": list(adapters)} if adapters else {}))
    return [{"name": model, "endpoints": endpoints} for model, endpoints in models.items()]


def _summary(engine: Engine) -> str:
    adapters = [name for names in engine.models.values() for name in names]
    serves = _listed("serves", engine.models) or "serves no model"
    return f"{engine.kind} at {engine.address}, {serves}{_listed(', adapters', adapters)}"


def _listed(what: str, names: Iterable[str]) -> str:
    joined = ", ".join(names)
    return f"{what} {joined}" if joined else ""
