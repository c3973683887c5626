"""The measurement: all variants run side by side, and each run puts one workload on one of them.

Lives here: the order of runs, CPU time before and after each.  Not here: what the figures mean (report).
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.load import run
from bench.processes import free_port, python_module, running
from bench.variants import EXT_PROC_MODE, TWO_WORKERS, Running, Start
from bench.workloads import DOUBLE, SMALL, STREAM, Workload

WARM_UP_S = 1.0
"""Length of the run of each variant that is not counted, in seconds (chosen)."""
SETTLEMENT_S = 0.3
"""Seconds after a run that are counted too, for the access log's flush and the settlements (chosen: six flushes)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: a workload on a variant."""

    workload: str
    variant: str
    answers: int
    seconds: float
    latencies: Sequence[float]
    cpu_us: Mapping[str, float]
    """CPU microseconds per answer, by role."""


@contextlib.contextmanager
def started(
    variants: Mapping[str, Start], directory: Path, progress: Callable[[str], None]
) -> Iterator[dict[str, Running]]:
    """Start all variants with a common backend, and stop them at the end of the block."""
    with ExitStack() as stack:
        port = free_port()
        argv = python_module("bench.backend", str(port))
        stack.enter_context(running("backend", argv, port, directory))
        stacks = {}
        for number, (name, start) in enumerate(variants.items()):
            progress(f"starting {name}")
            own = directory / str(number)
            own.mkdir()
            stacks[name] = stack.enter_context(start(port, own))
        yield stacks


def runs(
    stacks: Mapping[str, Running], workloads: Sequence[Workload], rounds: int
) -> Iterator[tuple[int, Workload, str]]:
    """Yield round, workload and variant of each run.

    The variants of a workload run directly after each other, every other round in reverse order, so that a drift of the
    machine affects all alike.
    """
    for number in range(rounds):
        for workload in workloads:
            names = [name for name in stacks if _runs(name, workload)]
            for name in names if number % 2 == 0 else reversed(names):
                yield number, workload, name


def _runs(variant: str, workload: Workload) -> bool:
    """Return whether the variant is measured with the workload."""
    if TWO_WORKERS in variant or workload is DOUBLE:
        return TWO_WORKERS in variant and workload is DOUBLE
    return workload is STREAM or not variant.endswith(EXT_PROC_MODE)


async def sample(workload: Workload, name: str, stack: Running, seconds: float) -> Sample:
    """Run the workload once and return its figures."""
    before = stack.cpu_seconds()
    load = await run(workload, stack.port, seconds)
    await asyncio.sleep(SETTLEMENT_S)
    used = {role: seconds - before[role] for role, seconds in stack.cpu_seconds().items()}
    per_answer = {role: cpu * 1e6 / load.answers for role, cpu in used.items()}
    return Sample(workload.name, name, load.answers, load.seconds, load.latencies, per_answer)


async def measure(
    stacks: Mapping[str, Running],
    workloads: Sequence[Workload],
    rounds: int,
    seconds: float,
    progress: Callable[[str], None],
) -> list[Sample]:
    """Return all samples, after a run of each variant that is not counted."""
    for name, stack in stacks.items():
        progress(f"warming up {name}")
        await run(SMALL, stack.port, WARM_UP_S)
    samples = []
    for number, workload, name in runs(stacks, workloads, rounds):
        progress(f"round {number + 1}/{rounds}: {workload.title}, {name}")
        samples.append(await sample(workload, name, stacks[name], seconds))
    return samples
