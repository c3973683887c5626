"""The real thing: `forebay up` as a process, and what tests ask of it through its public faces.

Plain threads and blocking calls, so that one stack can serve many tests, whatever event loop each has.
"""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway.observability.metrics import FLUSH_S
from tests.support.logs import failed_tasks
from tests.support.source_tree import ROOT
from tests.support.waiting import until

_FULL_DUPLEX = "response_mode: ext_proc\nenvoy: {body_mode: full_duplex_streamed}"
COMBINATIONS = {
    "http2-metadata": "",
    "grpc-metadata": "transport: grpc\nenvoy: {body_mode: buffered}",
    "http2-ext_proc": "response_mode: ext_proc",
    "http2-full_duplex": _FULL_DUPLEX,
}
"""Name -> configuration, one for each transport, response mode and body mode.  The first is the default."""
_IMPATIENT = "timeouts: {idle_s: 2, connect_s: 0.5}\nhealth: {failures: 1000}"
"""Silence is given up soon, and only requests, not health checks, find out that an engine is down."""
_KEYS = "identity: api_key"
_COMPAT = "compat: v0.2.1"
SPECIAL = {
    "impatient-metadata": _IMPATIENT,
    "impatient-ext_proc": f"{_IMPATIENT}\nresponse_mode: ext_proc",
    "keys-metadata": _KEYS,
    "compat-metadata": _COMPAT,
    "compat-ext_proc": f"{_COMPAT}\nresponse_mode: ext_proc",
    "keys-full_duplex": f"{_KEYS}\nanonymous: allow\n{_FULL_DUPLEX}",
}
"""The same for tests that need something else."""
DEFAULT = "http2-metadata"
"""The stack of a test that asks for no other: logic is the same on all, and contract suites run it on each."""


def on(*names: str) -> pytest.MarkDecorator:
    """For tests of what differs between these combinations, or exists on them only."""
    return pytest.mark.parametrize("stack", names, indirect=True)


on_all = on(*COMBINATIONS)
START_S = 60.0
"""For the slowest machine; a start takes 3 s."""
STOP_S = 45.0
PROMPT = [{"role": "user", "content": "Say this is a test!"}]
_MARK = "FOREBAY_TEST_STACK"
"""Environment variable that every process of a stack inherits, so that none can hide."""


class Stack:
    """A running `forebay up`."""

    def __init__(
        self, data: Path, *, engines: int | None = 2, workers: int = 1, config: str = "", gpu: str = "",
        options: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        data.mkdir(parents=True, exist_ok=True)
        self.data = data
        self._workers = workers
        self.lines: list[str] = []
        self._names = (f"user-{number}" for number in itertools.count(1))
        argv = ["-m", "forebay", "up", "--data", str(data), "--workers", str(workers), *options]
        argv += [] if "--console" in options else ["--no-console"]
        if engines is not None:
            argv += ["--engines", str(engines)]
        if gpu:
            argv += ["--gpu", gpu]
        if config:
            (data / "base.yaml").write_text(config)
            argv += ["--config", str(data / "base.yaml")]
        environment = {**os.environ, _MARK: str(data), "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        self._reader = threading.Thread(target=self._read, name=f"output of {data.name}")
        self._reader.start()
        self.variables: dict[str, str] = {}
        self.users = httpx.Client(trust_env=False, timeout=30)

    def _read(self) -> None:
        assert self.process.stdout
        self.lines.extend(line.rstrip("\n") for line in self.process.stdout)

    def wait_until_ready(self) -> None:
        """Return once `ready` and the addresses are out; what was printed instead is in the failure."""
        env = self.data / "env"
        until(lambda: self.process.poll() is not None or ("ready" in self.lines and env.exists()), limit_s=START_S)
        assert self.process.poll() is None, "\n".join(self.lines)
        until(lambda: any("temperature" in line for line in self.lines))
        self.variables = shell_variables(env)
        self.users.base_url = self.variables["GATEWAY"]

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send the signal; the exit status once everything it printed is in `lines`."""
        self.users.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._reader.join()
            if self.process.stdout:
                self.process.stdout.close()

    def left_over(self) -> list[str]:
        """Command lines of processes that belong to this stack and live."""
        mark = f"{_MARK}={self.data}".encode()
        return [line for directory in Path("/proc").glob("[0-9]*") if (line := _command_line(directory, mark))]

    @property
    def model(self) -> str:
        """The model that the simulated engines serve."""
        return self.variables["MODEL"]

    @property
    def engines(self) -> list[str]:
        """Their URLs."""
        return self.variables["ENGINES"].split()

    def processes(self, role: str) -> list[dict[str, Any]]:
        """From run.json."""
        running = orjson.loads((self.data / "run.json").read_bytes())
        return [process for process in running if process["role"] == role]

    # Users and what they have used.

    def admin(self, path: str, **body: Any) -> httpx.Response:
        """A call to the admin REST: POST with a body, GET without."""
        method = "POST" if body else "GET"
        return httpx.request(method, self.variables["ADMIN"] + path, json=body or None, trust_env=False, timeout=30)

    def user(self, **limits: Any) -> str:
        """The name of a new user with these limits, `rpm` and `tpm`; by default both are there and wide."""
        name = next(self._names)
        answer = self.admin("/CreateUser", name=name, **(limits or {"rpm": 1000, "tpm": 1_000_000}))
        assert f"Created User: {name}" == answer.json()["message"]
        return name

    def usage(self, user: str) -> tuple[int, int]:
        """Requests and tokens of the last minute."""
        answer = self.admin(f"/users/{user}/usage").json()
        return answer["requests"], answer["tokens"]

    def uses(self, user: str, requests: int, tokens: int) -> None:
        """Wait until everything is settled; the user has then used exactly this."""
        self.settled()
        assert (requests, tokens) == self.usage(user)

    # Requests through Envoy.

    def body(self, **changes: Any) -> dict[str, Any]:
        """A chat body; what is None is left out."""
        whole = {"model": self.model, "messages": PROMPT, "max_tokens": 8, **changes}
        return {key: value for key, value in whole.items() if value is not None}

    def chat(self, user: str, *, headers: dict[str, str] | None = None, **changes: Any) -> httpx.Response:
        """One chat completion."""
        return self.post("/v1/chat/completions", user, self.body(**changes), headers)

    def post(self, path: str, user: str, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        """Any JSON body to any path."""
        return self.users.post(path, json=body, headers={"user": user, **(headers or {})})

    def stream(self, user: str, **changes: Any) -> contextlib.AbstractContextManager[httpx.Response]:
        """A chat completion whose events come one by one."""
        body = self.body(stream=True, **changes)
        return self.users.stream("POST", "/v1/chat/completions", json=body, headers={"user": user})

    # Counts.

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample of /metrics by name and labels."""
        page = httpx.get(self.variables["HTTP"] + "/metrics", trust_env=False).text
        families = text_string_to_metric_families(page)
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}

    def figure(self, name: str, **labels: str) -> float:
        """The sum of the samples with these labels; 0 when there are none."""
        wanted = labels.items()
        return sum(v for (found, has), v in self.metrics().items() if found == name and wanted <= set(has))

    def in_flight(self) -> float:
        """Requests whose end has not been seen, over all workers."""
        return self.figure("forebay_requests_in_flight")

    def settled(self) -> None:
        """Wait until nothing is in flight and every reservation is closed, exactly.

        The worker that answers knows the others as of their last flush: after two flushes that is the present.
        """
        if self._workers > 1:
            time.sleep(2 * FLUSH_S)

        def closed() -> bool:
            return (0, 0) == (self.in_flight(), self.figure("forebay_reservations_open"))

        until(closed, limit_s=20)

    # Engines and endpoints.

    def fault(self, kind: str, engine: int | None = None, **details: Any) -> None:
        """Set the fault that the next request meets on this engine, by default on every one."""
        for url in self.engines if engine is None else [self.engines[engine]]:
            httpx.post(url + "/sim/fault", json={"kind": kind, **details}, trust_env=False).raise_for_status()

    def no_faults(self) -> None:
        """From now on nothing goes wrong."""
        for url in self.engines:
            httpx.delete(url + "/sim/fault", trust_env=False).raise_for_status()

    def engine_figure(self, name: str) -> float:
        """A figure of the engines' own /metrics, summed."""
        pages = [httpx.get(url + "/metrics", trust_env=False).text for url in self.engines]
        samples = [s for page in pages for family in text_string_to_metric_families(page) for s in family.samples]
        return sum(sample.value for sample in samples if sample.name == name)

    def models(self) -> list[dict[str, Any]]:
        """Return the models of DIR/models.yaml."""
        said = yaml.safe_load((self.data / "models.yaml").read_text())
        return list(said)

    def write_models(self, text: str) -> None:
        """Replace DIR/models.yaml, whole at once as an editor does."""
        fresh = self.data / "models.yaml.new"
        fresh.write_text(text)
        fresh.replace(self.data / "models.yaml")

    def serve(self, model: str, *addresses: str, adapters: tuple[str, ...] = ()) -> None:
        """Set the endpoints of one model, leave the others; returns when gateway and Envoy have them."""
        endpoints = [
            {"address": at, "name": f"{model}-{n}", "adapters": list(adapters)} for n, at in enumerate(addresses)
        ]
        others = [described for described in self.models() if described["name"] != model]
        self.write_models(yaml.safe_dump([*others, {"name": model, "endpoints": endpoints}]))
        until(lambda: all(self.routes_to(address) for address in addresses), limit_s=20)

    def stop_serving(self, model: str) -> None:
        """Remove a model and its endpoints."""
        self.write_models(yaml.safe_dump([described for described in self.models() if described["name"] != model]))

    def routes_to(self, address: str) -> bool:
        """Whether a worker calls the endpoint ready and Envoy knows it."""
        pods = httpx.get(self.variables["HTTP"] + "/debug/endpoints", trust_env=False).json()
        ready = any(pod["address"] == address and pod["state"] == "ready" for pod in pods)
        return ready and self.envoy_knows(address)

    def envoy_knows(self, address: str) -> bool:
        """Whether it is an endpoint of Envoy's."""
        page = httpx.get(self.variables["ENVOY_ADMIN"] + "/clusters", trust_env=False).text
        return f"engines::{address}::" in page


@contextlib.contextmanager
def running_stack(data: Path, **options: Any) -> Iterator[Stack]:
    """`forebay up`, ready; afterwards it ends on SIGINT with status 0; no process is left and no task has failed."""
    stack = Stack(data, **options)
    try:
        stack.wait_until_ready()
        yield stack
    except BaseException:
        stack.end()
        raise
    assert 0 == stack.end(), "\n".join(stack.lines)
    assert [] == stack.left_over()
    assert [] == failed_tasks(data)


def shell_variables(env: Path) -> dict[str, str]:
    """The variables that a shell has after `. DIR/env`."""
    script = f"set -a; . {env}; env -0"
    answer = subprocess.run(["sh", "-c", script], capture_output=True, check=True, env={})
    return dict(line.split("=", 1) for line in answer.stdout.decode().split("\0") if "=" in line)


def _command_line(process: Path, mark: bytes) -> str:
    """Return the command line of a process that carries the mark; empty for others and for those that have ended."""
    try:
        if mark not in (process / "environ").read_bytes().split(b"\0"):
            return ""
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode() or "zombie"
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
