"""The engines of `forebay up`: simulated ones, those at URLs, those that a file describes, as planned or autoscaled.

Lives here: which ones there are, the processes of the simulated ones.  Not here: what an engine does
(simulator.serving), asking engines at URLs (forebay.local.engine_watch).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from forebay.local.autoscaling.choice import Autoscale
from forebay.local.engine_url import EngineUrl
from forebay.local.mix.gpu_types import Mix
from forebay.local.supervision.probes import answers_ok
from forebay.local.supervision.process import ProcessSpec
from gateway.config.addresses import split_address

MODEL = "deepseek-r1-distill-llama-8b"
"""The name of the one model that all simulated engines serve."""
DEFAULT_COUNT = 3
"""Simulated engines where no others are named (chosen: two are busy while one is killed)."""


@dataclass(frozen=True, slots=True)
class Engines:
    """The choice of engines, at most one of these; without any, those in the base configuration or else simulated."""

    simulated: int | None = None
    urls: tuple[EngineUrl, ...] = ()
    models_file: Path | None = None
    mix: Mix | None = None
    autoscale: Autoscale | None = None

    def or_those_of(self, has_models: bool) -> "Engines":
        """Return this choice, with the default count of simulated engines where neither it nor the base has any."""
        nothing = self == Engines()
        return Engines(DEFAULT_COUNT) if nothing and not has_models else self


def engine_name(index: int) -> str:
    """Return the pod's name in headers, counted from 1."""
    return f"engine-{index + 1}"


def engine_specs(addresses: Sequence[str], gpu: str, logs: Path) -> list[ProcessSpec]:
    """Describe one process per simulated engine, as real engines have."""
    return [engine_spec(engine_name(index), address, gpu, logs) for index, address in enumerate(addresses)]


def engine_spec(name: str, address: str, gpu: str, logs: Path) -> ProcessSpec:
    """Describe the process of one simulated engine; `gpu` is a profile by name or file, an H100's when empty."""
    host, port = split_address(address)
    argv = [sys.executable, "-m", "forebay", "engine", "--model", MODEL, "--name", name, "--host", host]
    argv += ["--port", str(port), "--port-is-held", *(["--gpu", gpu] if gpu else [])]
    ready = partial(answers_ok, address, "/health")
    return ProcessSpec("engine", name, argv, address, ready, log=logs / f"{name}.log")
