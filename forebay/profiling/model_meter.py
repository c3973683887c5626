"""Measures an engine model at a load, in virtual time.

Lives here: arrivals and passes.  Not here: the window that counts (optimizer.profiling.steady), the model (simulator).
"""

import asyncio
from dataclasses import dataclass
from math import inf
from pathlib import Path
from random import Random
from typing import Any

from optimizer.profiling.points import Load, Point
from optimizer.profiling.steady import Answer, Span, Steady, gaps
from simulator.calibration.gpu_file import load_gpu
from simulator.core.engine import Engine, Step
from simulator.core.gpus import GpuProfile
from simulator.core.profile import Profile
from simulator.core.sequence import Sequence

MAX_MODEL_LEN = Profile("").max_model_len
"""Most tokens of a request that `forebay engine` takes by default."""


@dataclass(frozen=True, slots=True)
class ModelMeter:
    """Measures engines of a GPU profile; each run begins with an empty one, and nothing is in its prefix cache."""

    gpu: GpuProfile
    span: Span
    seed: int = 0
    max_model_len: int = MAX_MODEL_LEN

    async def measure(self, load: Load) -> Point:
        """Return the measures.  Raises TooLongError when a request does not fit into the KV cache."""
        await asyncio.sleep(0)  # lets an interruption in
        return _Run(self, load).measured()


class _Run:
    def __init__(self, meter: ModelMeter, load: Load) -> None:
        self._load = load
        self._engine = Engine(meter.gpu)
        self._gaps = gaps(load.rate, Random(meter.seed)) if load.concurrency is None else None  # noqa: S311 - no secret
        self._steady = Steady(load, meter.span)
        self._now_s = 0.0
        self._next_s = next(self._gaps) if self._gaps else inf  # the next arrival

    def measured(self) -> Point:
        for _ in range(self._load.concurrency or 0):
            self._send(0.0)
        while not self._steady.is_over(self._now_s):
            self._arrive()
            step = self._engine.step(self._now_s)
            if step is None:
                self._now_s = self._next_s
            else:
                self._now_s += step.duration_s
                self._end(step)
        return self._steady.point(self._now_s)

    def _arrive(self) -> None:
        """Send what has arrived by now."""
        while self._gaps and self._next_s <= self._now_s:
            self._send(self._next_s)
            self._next_s += next(self._gaps)

    def _send(self, at_s: float) -> None:
        self._engine.add(Sequence(self._load.input_tokens, self._load.output_tokens), at_s)
        self._steady.sent()

    def _end(self, step: Step) -> None:
        for sequence in step.ended:
            first_s = sequence.first_token_s or self._now_s
            self._steady.ended(Answer(sequence.arrived_s, first_s, self._now_s, sequence.output_tokens))
            if self._load.concurrency is not None:
                self._send(self._now_s)


def model_meter(gpu: str, span: Span, seed: int = 0) -> ModelMeter:
    """Return the meter of a built-in GPU profile or one in a file.  Raises ValueError and OSError."""
    return ModelMeter(load_gpu(gpu), span, seed)


def about(gpu: str, meter: ModelMeter) -> dict[str, Any]:
    """Return what is known of the engine, as rows and profiles have it."""
    return {
        "gpu": Path(gpu).stem, "engine": "simulated vLLM", "max_model_len": meter.max_model_len,
        "max_running": meter.gpu.max_running, "kv_tokens": meter.gpu.kv_blocks * meter.gpu.block_tokens,
    }  # fmt: skip
