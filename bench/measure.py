"""The measurement: all variants run at once, each workload goes round them, CPU time is read around each turn.

Lives here: order and sampling.  Not here: what the figures mean (report).
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.load import run
from bench.processes import cpu_seconds, free_port, python_module, running
from bench.variants import IN_BODY_MODE, Running, Start
from bench.workloads import SMALL, STREAM, Workload

WARM_UP_S = 1.0
AFTERMATH_S = 0.3
"""What follows an answer belongs to it: the access log's flush and the settling."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One workload on one variant, once."""

    workload: str
    variant: str
    answers: int
    seconds: float
    latencies: Sequence[float]
    cpu_us: Mapping[str, float]
    """Role -> microseconds per answer."""


@contextlib.contextmanager
def started(
    variants: Mapping[str, Start], directory: Path, progress: Callable[[str], None]
) -> Iterator[dict[str, Running]]:
    """All variants with one backend between them."""
    with ExitStack() as stack:
        port = free_port()
        argv = python_module("bench.backend", str(port))
        stack.enter_context(running("backend", argv, port, directory))
        stacks = {}
        for number, (name, start) in enumerate(variants.items()):
            progress(f"starting {name}")
            home = directory / str(number)
            home.mkdir()
            stacks[name] = stack.enter_context(start(port, home))
        yield stacks


def turns(
    stacks: Mapping[str, Running], workloads: Sequence[Workload], rounds: int
) -> Iterator[tuple[int, Workload, str]]:
    """Round, workload, variant: neighbours in time are compared, and every other round goes the other way."""
    for number in range(rounds):
        for workload in workloads:
            names = [name for name in stacks if workload is STREAM or not name.endswith(IN_BODY_MODE)]
            for name in names if number % 2 == 0 else reversed(names):
                yield number, workload, name


async def sample(workload: Workload, name: str, stack: Running, seconds: float) -> Sample:
    """One turn."""
    before = {role: cpu_seconds(pid) for role, pid in stack.pids.items()}
    load = await run(workload, stack.port, seconds)
    await asyncio.sleep(AFTERMATH_S)
    used = {role: cpu_seconds(pid) - before[role] for role, pid in stack.pids.items()}
    per_answer = {role: cpu * 1e6 / load.answers for role, cpu in used.items()}
    return Sample(workload.name, name, load.answers, load.seconds, load.latencies, per_answer)


async def measure(
    stacks: Mapping[str, Running],
    workloads: Sequence[Workload],
    rounds: int,
    seconds: float,
    progress: Callable[[str], None],
) -> list[Sample]:
    """Every sample, after a turn of each variant that does not count."""
    for name, stack in stacks.items():
        progress(f"warming up {name}")
        await run(SMALL, stack.port, WARM_UP_S)
    samples = []
    for number, workload, name in turns(stacks, workloads, rounds):
        progress(f"round {number + 1}/{rounds}: {workload.title}, {name}")
        samples.append(await sample(workload, name, stacks[name], seconds))
    return samples
