"""`forebay controllers` as a process, for tests."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import free_port
from tests.support.source_tree import ROOT

STOP_S = 60.0


class Controllers:
    """One process; its log is a file."""

    def __init__(self, kubeconfig: Path, log: Path, *options: str) -> None:
        self._address = f"127.0.0.1:{free_port()}"
        self._log = log
        argv = ["controllers", f"--kubeconfig={kubeconfig}", f"--listen={self._address}", *options]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "forebay", *argv], cwd=ROOT, stdout=output, stderr=output
            )

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=30) as client:
            return await client.get(f"http://{self._address}{path}")

    async def page(self, path: str) -> str:
        return (await self.get(path)).text

    async def is_ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()[-4000:]
        try:
            return (await self.get("/readyz")).status_code == 200
        except httpx.HTTPError:
            return False

    async def metric(self, name: str, **labels: str) -> float:
        """The value of a metric; -1 where there is none with these labels, or nobody answers."""
        shown = ",".join(f'{label}="{value}"' for label, value in labels.items())
        pattern = rf"^{re.escape(f'{name}{{{shown}}}' if shown else name)} (\S+)$"
        try:
            found = re.search(pattern, await self.page("/metrics"), re.MULTILINE)
        except httpx.HTTPError:
            return -1.0
        return float(found[1]) if found else -1.0

    async def leads(self) -> bool:
        return await self.is_ready() and await self.metric("forebay_controllers_leading") == 1

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
def controllers(kubeconfig: Path, log: Path, *options: str) -> Iterator[Controllers]:
    """Run one for the length of a block."""
    running = Controllers(kubeconfig, log, *options)
    try:
        yield running
    finally:
        running.stop()
