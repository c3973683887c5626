"""A gateway worker as a process of its own, on free ports."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from gateway.worker.launch import worker_launch
from tests.support.ports import free_address
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class RunningWorker:
    """The addresses at which a worker answers; `process` is the worker's own."""

    grpc: str
    http: str
    admin: str
    redis_url: str
    process: subprocess.Popen[bytes]
    log: Path
    tls: bool

    def metrics(self) -> dict[str, float]:
        """Every sample by its printed name and labels."""
        page = httpx.get(f"{self.http}/metrics").text
        lines = (line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in lines}


@contextmanager
def running_worker(
    directory: Path, redis_url: str, configuration: Mapping[str, Any], tls: Mapping[str, Any] | None = None
) -> Iterator[RunningWorker]:
    """A worker with `configuration` plus addresses, and `listen.tls`; ends it by SIGKILL."""
    grpc, http, admin = free_address(), free_address(), free_address()
    listen = {"grpc": grpc, "http": http, "admin": admin, "tls": dict(tls or {})}
    file = directory / "forebay.yaml"
    file.write_text(yaml.safe_dump({"listen": listen, "redis": {"url": redis_url}, **configuration}))
    launch = worker_launch(file, 0, free_address())
    log = directory / "worker.log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **launch.env}
    with log.open("wb") as output:
        process = subprocess.Popen(launch.argv, env=environment, cwd=ROOT, stdout=output, stderr=output)
    worker = RunningWorker(grpc, f"http://{http}", f"http://{admin}", redis_url, process, log, bool(tls))
    try:
        until(lambda: answers(f"{worker.http}/healthz") or process.poll() is not None, limit_s=20)
        assert process.poll() is None, log.read_text()
        yield worker
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return httpx.get(url, timeout=1).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
