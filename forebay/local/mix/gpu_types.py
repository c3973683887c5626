"""The GPU types of `--mix`: their costs, and how many replicas each may have.

Lives here: the values, the option's syntax.  Not here: the engines (fleet), the speed of a type (simulator.core.gpus).
"""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from optimizer.profiles.capacity import Slo
from simulator.calibration.gpu_file import load_gpu

DEFAULT_COST = 1.0
MOST_REPLICAS = 1000
SYNTAX = "TYPE[:COST[:MIN[:MAX]]]"


@dataclass(frozen=True, slots=True)
class GpuType:
    """One GPU type."""

    gpu: str
    """A GPU profile of the simulator, by name or file."""
    cost: float = DEFAULT_COST
    """Money per replica and hour."""
    min_replicas: int = 0
    """Replicas while there is no load."""
    max_replicas: int = MOST_REPLICAS

    @property
    def label(self) -> str:
        """The type's name, as endpoints have it."""
        return Path(self.gpu).stem

    @property
    def deployment(self) -> str:
        """The name of its deployment."""
        return self.label.lower()


@dataclass(frozen=True, slots=True)
class Mix:
    """The GPU types of a run, and how they are planned for."""

    gpus: tuple[GpuType, ...]
    slo: Slo
    """Planned for."""
    startup_s: float
    """Seconds from the order of an engine until it serves."""


def parse_mix(text: str, most: int = MOST_REPLICAS) -> tuple[GpuType, ...]:
    """Return the types of `TYPE[:COST[:MIN[:MAX]]],...`; `most` is MAX where it is left out.

    Raises ValueError, also for an unknown GPU, and OSError.
    """
    types = tuple(_parse_type(part.strip(), most) for part in text.split(","))
    names = [each.deployment for each in types]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(repeated)}: must be there once")
    return types


def _parse_type(part: str, usual_most: int) -> GpuType:
    gpu, *rest = part.split(":")
    cost, least, most = [*rest, "", "", ""][:3]
    try:
        found = GpuType(
            gpu,
            float(cost) if cost else DEFAULT_COST,
            int(least) if least else 0,
            int(most) if most else max(usual_most, int(least or 0)),
        )
    except ValueError as error:
        raise ValueError(f"{part!r}, must be {SYNTAX}: {error}") from error
    if len(rest) > len(("cost", "min", "max")) or not gpu:
        raise ValueError(f"{part!r}, must be {SYNTAX}")
    if not (isfinite(found.cost) and found.cost > 0):
        raise ValueError(f"{part!r}, its cost must be above 0")
    if not 0 <= found.min_replicas <= found.max_replicas <= MOST_REPLICAS:
        raise ValueError(f"{part!r}, must have 0 <= MIN <= MAX <= {MOST_REPLICAS}")
    load_gpu(gpu)
    return found
