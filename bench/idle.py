"""An idle gateway: the CPU of one worker whose pods have nothing to do but to answer its questions.

Lives here: the measurement.  Not here: the engines (backend), tables (report).
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.processes import cpu_seconds, free_ports, python_module, running
from bench.variants import GATEWAY, gateway_and_redis, settings_for

PODS = (100, 1_000)
SETTLE_S = 12.0
"""Seconds from the start until the pods count as idle, in which scrapes become as rare as they will."""
RUN_S = 10.0


@dataclass(frozen=True, slots=True)
class IdleSample:
    """One worker of a gateway with so many pods.  `core` is the share of a core that it takes."""

    pods: int
    core: float

    @property
    def core_seconds(self) -> float:
        """The seconds of a core that it takes in a minute."""
        return 60 * self.core


def measure_idle(
    directory: Path, progress: Callable[[str], None], *, site: Path | None = None, pods: tuple[int, ...] = PODS
) -> tuple[IdleSample, ...]:
    """Measure; takes half a minute for each number of pods."""
    samples = []
    for number in pods:
        progress(f"{number} idle pods")
        samples.append(IdleSample(number, _core(directory, number, site)))
    return tuple(samples)


def _core(directory: Path, pods: int, site: Path | None) -> float:
    ports = free_ports(pods)
    with ExitStack() as stack:
        stack.enter_context(running("pods", python_module("bench.backend", *map(str, ports)), ports[-1], directory))
        (gateway,) = stack.enter_context(gateway_and_redis(settings_for(*ports), directory, site))[GATEWAY]
        time.sleep(SETTLE_S)
        before_s, used_s = time.monotonic(), cpu_seconds(gateway)
        time.sleep(RUN_S)
        return (cpu_seconds(gateway) - used_s) / (time.monotonic() - before_s)
