"""Time and cost of plans: Forebay's, verification included, beside the slice formulation and CBC.

Lives here: the measurement and its table.  `python -m bench.planning` prints it alone.
"""

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from bench.formulations import SLICES, Solved, by_cbc, by_highs, fractions, slices
from optimizer.solver.case import Case, GpuType, Limit
from optimizer.solver.joint import JointCase, JointPlan, make_joint_plan
from optimizer.solver.plan import make_plan

LARGE = (10, 144)
"""GPU types and buckets of the target: 0.5 s, verification included."""
SIZES = ((2, 9), (4, 60), LARGE)
JOINT = (5, *LARGE)
"""Models, GPU types and buckets of joint plans."""
PARTS = (0.2, 0.12, 0.08, 0.05)
"""GPUs of each type, as a part of what all models would take of it alone; of ten types 0.1 is about what they need."""
COMPARED = SIZES[:2]
"""Sizes for which the other ways are measured; at the large one they only reach their time limit."""
RATES = (8.0, 64.0, 512.0)
"""Requests per second in all: few and many replicas."""
SEEDS = 3
LIMIT_S = 5.0
"""Time limit of every way."""
FOREBAY = "Forebay"


@dataclass(frozen=True, slots=True)
class PlanSample:
    """One case solved in one way."""

    types: int
    buckets: int
    rate: float
    seed: int
    way: str
    solved: Solved


@dataclass(frozen=True, slots=True)
class JointSample:
    """Models planned on one inventory."""

    part: float
    seconds: float
    made: JointPlan
    unserved_rate: float


JOINT_HEADER = ("part of the GPUs", "planned", "s", "cost", "unserved req/s", "gap")


@dataclass(frozen=True, slots=True)
class PlanFigures:
    """All samples."""

    samples: Sequence[PlanSample]
    joint: Sequence[JointSample] = ()

    def large_s(self) -> float:
        """Return the median seconds of plans of the large size."""
        return median(s.solved.seconds for s in self.samples if (s.types, s.buckets, s.way) == (*LARGE, FOREBAY))

    def rows(self) -> Iterator[Sequence[str]]:
        """Yield per size and way: median and longest seconds, how many were proven, mean cost over Forebay's."""
        for size in SIZES:
            mine = {(s.rate, s.seed): s.solved for s in self._of(size, FOREBAY)}
            for way in dict.fromkeys(s.way for s in self.samples if (s.types, s.buckets) == size):
                samples = self._of(size, way)
                seconds = [s.solved.seconds for s in samples]
                beside = [s.solved.cost / mine[s.rate, s.seed].cost for s in samples]
                yield (
                    f"{size[0]} x {size[1]}",
                    way,
                    f"{median(seconds):.3f}",
                    f"{max(seconds):.3f}",
                    f"{sum(s.solved.optimal for s in samples)} of {len(samples)}",
                    f"{sum(beside) / len(beside):.4f}",
                    f"{max(beside):.4f}",
                )

    def joint_rows(self) -> Iterator[Sequence[str]]:
        """Yield the columns of JOINT_HEADER per sample."""
        for sample in self.joint:
            cost = sum(plan.cost for plan in sample.made.plans.values())
            yield (
                f"{sample.part:g}",
                "together" if sample.made.is_joint else "alone",
                f"{sample.seconds:.1f}",
                f"{cost:.1f}",
                f"{sample.unserved_rate:.2f}",
                f"{sample.made.gap:.4f}",
            )

    def _of(self, size: tuple[int, int], way: str) -> list[PlanSample]:
        return [s for s in self.samples if (s.types, s.buckets) == size and s.way == way]


HEADER = ("types x buckets", "way", "s", "longest", "proven", "cost / Forebay's", "dearest")


def a_case(types: int, buckets: int, rate: float, seed: int) -> Case:
    """Return a case whose types would all cost about the same alone, which makes the choice hard.

    Buckets are a square of input and output lengths, each twice the one before; some types cannot hold the longest.
    """
    rng, side = random.Random(f"{types} {buckets} {seed}"), round(buckets**0.5)
    sizes = [
        (16 * 2 ** (9 * i / side), 16 * 2 ** (9 * o / side)) for i in range(side) for o in range(-(-buckets // side))
    ]
    weights = [rng.gammavariate(0.3, 1.0) for _ in range(buckets)]
    rates = tuple(rate * weight / sum(weights) for weight in weights)
    made = []
    for g in range(types):
        prefill, decode, longest = rng.uniform(2e3, 4e4), rng.uniform(200, 4000), rng.uniform(3e3, 2e4)
        row = tuple(1 / (i / prefill + o / decode) if i + o <= longest or g == 0 else 0.0 for i, o in sizes[:buckets])
        load = sum(r / t for r, t in zip(rates, row, strict=True) if t > 0)
        served = sum(r for r, t in zip(rates, row, strict=True) if t > 0)
        made.append(GpuType(f"gpu-{g}", 100.0 * served / rate / load, row))
    return Case(tuple(made), rates, time_limit_s=LIMIT_S)


def a_joint_case(models: int, types: int, buckets: int, rate: float, part: float) -> JointCase:
    """Return hard cases on the same GPU types, of each of which there is a part of what it would take alone."""
    cases = {f"model-{seed}": a_case(types, buckets, rate, seed) for seed in range(models)}
    limits = []
    for g in range(types):
        alone = sum(100.0 / case.types[g].cost for case in cases.values())
        weights = tuple(float(of == g) for _ in cases for of in range(types))
        limits.append(Limit(f"inventory.gpu-{g}", weights, float(round(part * alone))))
    return JointCase(cases, tuple(limits))


def measure_planning(progress: Callable[[str], None]) -> PlanFigures:
    """Measure; takes a minute or two, most of it for the other ways to reach their limits."""
    samples = []
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as directory:
        ways = _ways(Path(directory))
        for types, buckets in SIZES:
            for way, solve in ways.items():
                if way == FOREBAY or (types, buckets) in COMPARED:
                    progress(f"planning: {types} GPU types, {buckets} buckets, {way}")
                    samples += [
                        PlanSample(types, buckets, rate, seed, way, solve(a_case(types, buckets, rate, seed)))
                        for rate in RATES
                        for seed in range(SEEDS)
                    ]
    progress(f"planning: {JOINT[0]} models on one inventory")
    return PlanFigures(samples, [_joint_sample(part) for part in PARTS])


def _joint_sample(part: float) -> JointSample:
    joint = a_joint_case(*JOINT, rate=RATES[1], part=part)
    started_s = time.perf_counter()
    made = make_joint_plan(joint)
    if made.problems:
        raise AssertionError(made.problems)
    lost = sum(joint.cases[name].lost(plan.unserved) for name, plan in made.plans.items())
    return JointSample(part, time.perf_counter() - started_s, made, lost)


def _ways(directory: Path) -> dict[str, Callable[[Case], Solved]]:
    """Return each way to solve; those by CBC only where it is installed (Debian: coinor-cbc)."""
    ways: dict[str, Callable[[Case], Solved]] = {
        FOREBAY: _plan,
        f"{SLICES} slices, HiGHS": lambda case: by_highs(slices(case), LIMIT_S),
    }
    cbc = shutil.which("cbc")
    if cbc:
        ways[f"{SLICES} slices, CBC"] = lambda case: by_cbc(cbc, slices(case), LIMIT_S, directory)
        ways["fractions, CBC"] = lambda case: by_cbc(cbc, fractions(case), LIMIT_S, directory)
    return ways


def _plan(case: Case) -> Solved:
    started_s = time.perf_counter()
    plan = make_plan(case)
    if plan.problems:
        raise AssertionError(plan.problems)
    return Solved(time.perf_counter() - started_s, plan.cost, plan.gap == 0)


if __name__ == "__main__":
    from bench.tables import table

    figures = measure_planning(lambda line: click.echo(line, err=True))
    click.echo(table(HEADER, figures.rows()))
    click.echo(f"\n{table(JOINT_HEADER, figures.joint_rows())}")
    click.echo(f"\n{LARGE[0]} x {LARGE[1]}: median {figures.large_s():.3f} s")
