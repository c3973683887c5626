"""An engine as a process, simulated or a real vLLM: what the engine contract runs on.  Plain threads."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.ports import free_port
from tests.support.source_tree import ROOT

MODEL = "tiny"
START_S = 900.0
"""A real one takes half a minute; two at once on two busy cores have taken five.  One that dies is noticed at once."""
TOLD_S = 15.0
"""Seconds between two lines that tell of a start."""
BATCH = 2
"""Sequences that run at once."""


@dataclass(frozen=True)
class EngineProcess:
    """A running engine that serves MODEL, BATCH requests at once."""

    process: subprocess.Popen[bytes]
    address: str
    client: httpx.Client
    kv_events: str
    """The address at which it publishes them."""
    adapter: str
    """A path that holds a LoRA adapter; a simulated engine takes any."""

    def kill(self) -> None:
        """As by the kernel, with the helpers that vLLM has started: they outlive it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def figure(self, name: str, **labels: str) -> float:
        """The sum of the samples of its /metrics that carry these labels."""
        families = text_string_to_metric_families(self.client.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples]
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    def load(self) -> tuple[float, float]:
        """Requests that run and requests that wait."""
        return self.figure("vllm:num_requests_running"), self.figure("vllm:num_requests_waiting")

    @property
    def block_tokens(self) -> int:
        """Tokens per KV block."""
        families = text_string_to_metric_families(self.client.get("/metrics").text)
        (sizes,) = [family.samples[0].labels for family in families if family.name == "vllm:cache_config_info"]
        return int(sizes["block_size"])


@contextlib.contextmanager
def running_engine(folder: Path, vllm: Path | None, core: int = 0) -> Iterator[EngineProcess]:
    """A simulated engine, or with `vllm`, the folder that `make test-vllm` fills, a real one on one core."""
    folder.mkdir(parents=True, exist_ok=True)
    port, kv_events = free_port(), f"ipc://{folder}/kv"
    argv = _vllm_argv(vllm, port, kv_events) if vllm else _simulated_argv(port, kv_events)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} if vllm is None else {**os.environ, **_vllm_environment(core)}
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(argv, env=environment, stdout=output, stderr=output, process_group=0)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False)
    adapter = str(vllm / "adapter") if vllm else "/any/path"
    engine = EngineProcess(process, f"127.0.0.1:{port}", client, kv_events, adapter)

    try:
        _await_start(engine, log)
        yield engine
    finally:
        client.close()
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        engine.kill()


def _await_start(engine: EngineProcess, log: Path) -> None:
    """Return once the engine answers.  AssertionError, with the end of its log, when it has ended or takes START_S."""
    began_s = told_s = time.monotonic()
    while True:
        words = log.read_text(errors="replace")
        assert engine.process.poll() is None, words[-3000:]
        with contextlib.suppress(httpx.TransportError):
            if engine.client.get("/health").status_code == 200:
                return
        now_s = time.monotonic()
        assert now_s < began_s + START_S, f"no answer in {START_S:g} s\n{words[-3000:]}"
        if now_s > told_s + TOLD_S:
            told_s, last = now_s, (words.splitlines() or ["nothing yet"])[-1]
            logging.getLogger(__name__).info("%s starts, %.0f s: %s", engine.address, now_s - began_s, last)
        time.sleep(0.1)


def _simulated_argv(port: int, kv_events: str) -> Sequence[str]:
    options = {"model": MODEL, "port": port, "max-running": BATCH, "tokens-per-s": 70, "kv-events": kv_events}
    return [sys.executable, "-m", "forebay", "engine", *(f"--{name}={value}" for name, value in options.items())]


def _vllm_argv(vllm: Path, port: int, kv_events: str) -> Sequence[str]:
    events = {"enable_kv_cache_events": True, "publisher": "zmq", "endpoint": kv_events, "topic": "kv"}
    options = {
        "model": vllm / "model", "served-model-name": MODEL, "host": "127.0.0.1", "port": port, "dtype": "bfloat16",
        "distributed-executor-backend": "uni", "max-model-len": 8192, "max-num-seqs": BATCH, "block-size": 32,
        "kv-cache-memory-bytes": "64M", "max-lora-rank": 8, "kv-events-config": json.dumps(events),
    }  # fmt: skip
    flags = ["--enforce-eager", "--enable-lora"]
    given = [f"--{name}={value}" for name, value in options.items()]
    return [str(vllm / "bin" / "python"), "-m", "vllm.entrypoints.openai.api_server", *given, *flags]


def _vllm_environment(core: int) -> Mapping[str, str]:
    """One core, no network, no compiler."""
    return {
        "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_HOST_IP": "127.0.0.1",
        "TORCHDYNAMO_DISABLE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": str(core), "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_SERVER_DEV_MODE": "1",
    }  # fmt: skip
