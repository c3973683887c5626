"""`forebay optimizer` as a process, and what stands around it: traces, profiles and a file of deployments."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import free_port
from tests.support.source_tree import ROOT
from traffic.connection import Connection
from traffic.store import LATE_S, TraceStore
from traffic.window import WINDOW_S, Window, index_of

STOP_S = 60.0
QUICK = ("--ingest-every=0.2", "--decide-every=0.5", "--agreeing-plans=2")
"""Options with which a test need not wait."""


class Optimizer:
    """One process; its log is a file."""

    def __init__(self, redis_url: str, deployments: Path | None, log: Path, *options: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._log = log
        listen = self.url.removeprefix("http://")
        argv = ["optimizer", f"--redis={redis_url}", f"--listen={listen}", *options]
        argv += [f"--deployments={deployments}"] if deployments else []
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "forebay", *argv], cwd=ROOT, stdout=output, stderr=output
            )

    async def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        """An answer; a process that ended fails the test with its log."""
        assert self._process.poll() is None, self._log.read_text()[-4000:]
        async with httpx.AsyncClient(timeout=30) as client:
            return await client.request(method, f"{self.url}{path}", **request)

    async def status(self, path: str) -> int:
        """The status of a page; 0 while nobody answers."""
        try:
            return (await self.call("GET", path)).status_code
        except httpx.HTTPError:
            return 0

    async def is_ready(self) -> bool:
        return await self.status("/readyz") == 200

    async def replicas(self, *names: str) -> tuple[float | None, ...]:
        """Published replicas of deployments in the namespace `default`; None where there is no answer."""
        return tuple([await self._replicas(name) for name in names])

    async def _replicas(self, name: str) -> float | None:
        try:
            page = (await self.call("GET", f"/metrics/default/{name}")).text
        except httpx.ConnectError:
            return None
        found = re.search(r"^vllm:deployment_replicas\{[^}]*\} (\S+)$", page, re.MULTILINE)
        return float(found[1]) / 100 if found else None

    async def explained(self, model: str) -> dict[str, Any]:
        answer = await self.call("GET", f"/explain/{model}", headers={"accept": "application/json"})
        found: dict[str, Any] = answer.json()
        return found

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it; returns its status."""
        self._process.send_signal(how)
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise


@contextmanager
def optimizer(redis_url: str, deployments: Path | None, log: Path, *options: str) -> Iterator[Optimizer]:
    """Run one for the length of a block; without a file of deployments the options name a cluster."""
    running = Optimizer(redis_url, deployments, log, *options)
    try:
        yield running
    finally:
        running.stop()


def a_profile(deployment: str, cost: float, throughput: Sequence[Sequence[float]], **more: object) -> str:
    """A profile for outputs of 32 and 256 and inputs of 128 and 2048 tokens."""
    zeros = [[0.1] * 2] * 2
    fields = {"gpu": deployment, "cost": cost, "tputs": throughput, "indexes": [[32, 256], [128, 2048]]}
    return json.dumps({**fields, "created": 1.0, "e2e": zeros, "ttft": zeros, "slos": {"ttft": 1.0}, **more})


def a_deployments_file(path: Path, *deployments: Mapping[str, object]) -> Path:
    """Written so that a reader sees the old file or the new one."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"deployments": list(deployments)}))
    fresh.replace(path)
    return path


def a_window(rate: float, tokens: Mapping[tuple[int, int], float], starts_at_s: float = 0.0, **more: Any) -> Window:
    """Ten seconds of requests at this rate, all completed; `tokens` are lengths (input, output) and their shares."""
    counts = {(index_of(into), index_of(out)): round(rate * WINDOW_S * share) for (into, out), share in tokens.items()}
    return Window(WINDOW_S, sum(counts.values()), counts, starts_at_s=starts_at_s, **more)


async def write_traffic(redis_url: str, model: str, windows: Sequence[Window], number: int = 1) -> None:
    """Write windows as the last complete ones, now."""
    async with aclosing(Connection(redis_url, 5.0)) as connection:
        store = TraceStore(connection, "test")
        last_s = (await connection.now_s() - LATE_S) // WINDOW_S * WINDOW_S
        for n, window in enumerate(reversed(windows)):
            starts_at_s = last_s - (n + 1) * WINDOW_S
            await store.write(model, Window(**{**_fields(window), "starts_at_s": starts_at_s}), number)


@asynccontextmanager
async def keep_writing(redis_url: str, model: str, window: Window) -> AsyncIterator[dict[str, Window]]:
    """Write a window whenever one ends, for the length of a block; yields where it can be replaced, by `now`."""
    traffic = {"now": window}
    writing = asyncio.create_task(_keep_writing(redis_url, model, traffic))
    try:
        yield traffic
    finally:
        writing.cancel()
        await asyncio.wait((writing,))


async def _keep_writing(redis_url: str, model: str, traffic: Mapping[str, Window]) -> None:
    async with aclosing(Connection(redis_url, 5.0)) as connection:
        store = TraceStore(connection, "test")
        while True:
            now_s = await connection.now_s()
            starts_at_s = now_s // WINDOW_S * WINDOW_S
            await asyncio.sleep(starts_at_s + WINDOW_S - now_s)
            await store.write(model, Window(**{**_fields(traffic["now"]), "starts_at_s": starts_at_s}), 1)


def _fields(window: Window) -> dict[str, Any]:
    return {name: getattr(window, name) for name in Window.__dataclass_fields__}
