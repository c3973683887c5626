"""Cases and plans as JSON (docs/contracts.md, section 10): what `forebay plan --json` reads and prints.

Lives here: the fields and their rules.  Not here: numbers and problems (reading), files (forebay.cli).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from optimizer.input.reading import Reader, finite, shown
from optimizer.solver.case import MOST_REPLICAS, Case, GpuType
from optimizer.solver.plan import Plan

MOST_COUNT = int(MOST_REPLICAS)
"""Counts of replicas above this are refused, as the plan has none."""
LEAST_HEADROOM = 1e-6
"""A utilisation below this is a mistake."""

CASE_KEYS = ("gpus", "rate", "headroom", "current", "time_limit_s")
GPU_KEYS = ("cost", "throughput", "min", "max")


def parse_case(text: str | bytes) -> Case:
    """Return the case that a JSON text describes.  Raises InputError with all problems."""
    reader = _Reader()
    case = reader.case(reader.load(text))
    reader.close()
    return case


def plan_page(case: Case, plan: Plan, solve_s: float) -> dict[str, Any]:
    """Return the answer as JSON values."""
    names = [gpu.name for gpu in case.types]
    return {
        "replicas": dict(zip(names, plan.replicas, strict=True)),
        "cost": plan.cost,
        "assignment": dict(zip(names, map(list, plan.shares), strict=True)),
        "unserved": list(plan.unserved),
        "unserved_rate": case.lost(plan.unserved),
        "migration": plan.migration,
        "gap": plan.gap,
        "solver": plan.solver,
        "solve_s": solve_s,
        "verified": not plan.problems,
        "problems": list(plan.problems),
    }


class _Reader(Reader):
    """Reads the fields of a case."""

    def case(self, value: Any) -> Case:
        """Return the case of a whole input."""
        fields = self._object("the input", value, CASE_KEYS, required=("gpus", "rate"))
        rates = self._numbers("rate", fields.get("rate", []))
        gpus = self._object("gpus", fields.get("gpus", {}))
        types = tuple(self._gpu(f"gpus.{name}", name, gpu, len(rates)) for name, gpu in gpus.items())
        headroom = self.number("headroom", fields.get("headroom", Case.headroom), least=LEAST_HEADROOM)
        limit_s = self.number("time_limit_s", fields.get("time_limit_s", Case.time_limit_s), above=0.0)
        return Case(types, rates, max(headroom, 1 / headroom), self._current(fields.get("current"), types), limit_s)

    def _gpu(self, key: str, name: str, value: Any, buckets: int) -> GpuType:
        fields = self._object(key, value, GPU_KEYS, required=("cost", "throughput"))
        cost = self.number(f"{key}.cost", fields.get("cost", 0.0))
        throughput = self._numbers(f"{key}.throughput", fields.get("throughput", [0.0] * buckets))
        if isinstance(fields.get("throughput"), list) and len(throughput) != buckets:
            self.problems.append(f"{key}.throughput has {len(throughput)} buckets, rate has {buckets}")
        lowest = self._count(f"{key}.min", fields.get("min", 0))
        highest = None if fields.get("max") is None else self._count(f"{key}.max", fields["max"])
        if highest is not None and highest < lowest:
            self.problems.append(f"{key}.max = {highest}, must be at least min = {lowest}")
        return GpuType(name, cost, throughput, lowest, highest)

    def _current(self, value: Any, types: Sequence[GpuType]) -> tuple[int, ...] | None:
        """Return the replicas that run now; a type that is not named has none."""
        if value is None:
            return None
        names = [gpu.name for gpu in types]
        counts = {
            name: self._count(f"current.{name}", n) for name, n in self._object("current", value, tuple(names)).items()
        }
        return tuple(counts.get(name, 0) for name in names)

    def _object(
        self, key: str, value: Any, known: Sequence[str] | None = None, required: Sequence[str] = ()
    ) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            self.problems.append(f"{key} = {shown(value)}, must be an object")
            return {}
        prefix = "" if key == "the input" else f"{key}."
        if known is not None:
            unknown = [name for name in value if name not in known]
            self.problems += [
                f"{prefix}{name}: unknown key, known are {', '.join(known) or 'none'}" for name in unknown
            ]
        self.problems += [f"{prefix}{name}: is missing" for name in required if name not in value]
        return {name: inner for name, inner in value.items() if known is None or name in known}

    def _numbers(self, key: str, value: Any) -> tuple[float, ...]:
        if not isinstance(value, list):
            self.problems.append(f"{key} = {shown(value)}, must be a list of numbers")
            return ()
        return tuple(self.number(f"{key}[{index}]", each) for index, each in enumerate(value))

    def _count(self, key: str, value: Any) -> int:
        number = finite(value)
        if number is not None and number == int(number) and 0 <= number <= MOST_COUNT:
            return int(number)
        self.problems.append(f"{key} = {shown(value)}, must be a whole number from 0 to {MOST_COUNT}")
        return 0
