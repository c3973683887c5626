"""The runtime beside an engine: its application in this process, and `forebay runtime` as a process of its own."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from runtime.adapters import Adapters
from runtime.app import Parts, create_app
from runtime.counting import Counted
from runtime.downloader import Artifact, Downloader, DownloadError
from runtime.engines.calls import Calls
from runtime.engines.table import engine_class
from runtime.metrics.api_calls import ApiCalls
from runtime.metrics.page import MetricsPage
from runtime.models import Models
from runtime.phases import Phases
from runtime.settings import Settings
from tests.support.ports import free_port
from tests.support.source_tree import ROOT

AWAY = "http://127.0.0.1:1"
"""Nobody listens there."""
PAUSES_S = (0.01, 0.01)


class Shelf:
    """A Downloader whose sources are folders of this machine: `shelf://NAME` is that of the name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fetched: list[tuple[str, Mapping[str, Any]]] = []
        self.is_open = asyncio.Event()
        self.is_open.set()

    def put(self, name: str) -> str:
        """Put an artifact on the shelf; return its URI."""
        (self.folder / name).mkdir(parents=True)
        (self.folder / name / "adapter_config.json").write_text("{}")
        return f"shelf://{name}"

    async def fetch(self, uri: str, name: str, folder: Path, options: Mapping[str, Any]) -> Path:
        self.fetched.append((uri, options))
        await self.is_open.wait()
        source = self.folder / uri.removeprefix("shelf://")
        if not source.is_dir():
            raise DownloadError(f"{uri}: there is no such artifact", 404)
        shutil.copytree(source, folder / name, dirs_exist_ok=True)
        return folder / name

    def found(self, folder: Path) -> Sequence[Artifact]:
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
        return [Artifact(path.name, path, "", path.suffix != ".part") for path in paths]


@asynccontextmanager
async def a_runtime(endpoint: str, shelf: Downloader | None = None, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the runtime's application beside the engine at this address; `changes` are of Settings."""
    settings = replace(Settings(endpoint=endpoint), **changes)
    shelf = shelf or Shelf(settings.adapters_folder)
    models, api_calls = Models(shelf, settings.models_folder), ApiCalls()
    async with httpx.AsyncClient(base_url=endpoint, trust_env=False) as to_engine:
        key = f"Bearer {settings.api_key}" if settings.api_key else ""
        engine = engine_class(settings.engine)(Calls(to_engine, key, PAUSES_S), settings.metrics_path)
        page = MetricsPage(engine, settings, api_calls, "test", time.monotonic)
        parts = Parts(settings, engine, Phases(engine, time.monotonic), Adapters(shelf), models, page)
        app = Counted(create_app(parts), api_calls, time.monotonic)
        transport = httpx.ASGITransport(app=app)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://runtime") as client:
                yield client
        finally:
            await models.close()


class Sidecar:
    """`forebay runtime` as a process."""

    def __init__(self, endpoint: str, log: Path, *options: str, **environment: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        argv = [sys.executable, "-m", "forebay", "runtime", "--host=127.0.0.1", f"--port={port}", *options]
        named = {"INFERENCE_ENGINE_ENDPOINT": endpoint, "PYTHONPATH": str(ROOT), **environment}
        with log.open("wb") as output:
            self._process = subprocess.Popen(argv, env={**os.environ, **named}, stdout=output, stderr=output)
        self._log = log

    async def get(self, path: str) -> httpx.Response:
        """Return the answer; a process that has ended fails the test with its log."""
        assert self._process.poll() is None, self._log.read_text()[-4000:]
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=30) as client:
            return await client.get(path)

    async def post(self, path: str, headers: Mapping[str, str] | None = None, **body: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=60) as client:
            return await client.post(path, json=body, headers=headers)

    async def status(self, path: str) -> int:
        """Return the status of a page; 0 while nobody answers."""
        try:
            return (await self.get(path)).status_code
        except httpx.TransportError:
            return 0

    def stop(self) -> int:
        """End it; return its status, also of one that has ended."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(30)


@contextmanager
def sidecar(endpoint: str, log: Path, *options: str, **environment: str) -> Iterator[Sidecar]:
    """Run one for the length of a block."""
    running = Sidecar(endpoint, log, *options, **environment)
    try:
        yield running
    finally:
        running.stop()
