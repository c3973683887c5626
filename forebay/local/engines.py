"""The simulated engines of `forebay up`: their model, their names, their processes.

Lives here: how they are started.  Not here: what an engine does (simulator.serving).
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from forebay.local.supervision.probes import answers_ok
from forebay.local.supervision.process import ProcessSpec
from gateway.config.addresses import split_address

MODEL = "deepseek-r1-distill-llama-8b"
"""The name of the one model that all engines serve."""


def engine_name(index: int) -> str:
    """Return the pod's name in headers, counted from 1."""
    return f"engine-{index + 1}"


def engine_specs(addresses: Sequence[str], gpu: str, logs: Path) -> list[ProcessSpec]:
    """Describe one process per engine, as real engines have."""
    return [_engine_spec(engine_name(index), address, gpu, logs) for index, address in enumerate(addresses)]


def _engine_spec(name: str, address: str, gpu: str, logs: Path) -> ProcessSpec:
    host, port = split_address(address)
    argv = [sys.executable, "-m", "forebay", "engine", "--model", MODEL, "--name", name, "--host", host]
    argv += ["--port", str(port), *(["--gpu", gpu] if gpu else [])]
    ready = partial(answers_ok, address, "/health")
    advice = "--gpu must be the name of a GPU profile that the simulator has, or a file with one." if gpu else ""
    return ProcessSpec("engine", name, argv, address, ready, log=logs / f"{name}.log", advice=advice)
