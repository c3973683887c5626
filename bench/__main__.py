"""`python -m bench`: measures, prints the tables and writes docs/performance.md."""

import tempfile
import time
from pathlib import Path

import click
import uvloop

from bench import machine
from bench.answers import measure_answers
from bench.bursts import measure_bursts
from bench.floor import floor_program
from bench.following import measure_following
from bench.growth import measure_growth
from bench.idle import measure_idle
from bench.limiter import measure_limiter
from bench.measure import measure, started
from bench.memory import measure_memory
from bench.messages import measure_messages
from bench.picking import measure_picking
from bench.planning import measure_planning
from bench.report import ReplicaFigures, RoutingFigures, document, tables
from bench.scraping import measure_scraping
from bench.sharing import measure_sharing
from bench.tail import measure_tail
from bench.variants import VARIANTS, variants
from bench.worker_report import WorkerFigures
from bench.workloads import WORKLOADS

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


BEGAN_S = time.monotonic()


def progress(line: str) -> None:
    """Print on standard error, with the seconds so far, so that standard output has only the tables."""
    click.echo(f"{time.monotonic() - BEGAN_S:4.0f} s  {line}", err=True)


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Runs of each workload on each variant.")
@click.option("--seconds", default=3.0, show_default=True, help="Length of a run; streams take longer.")
@click.option("--only", type=click.Choice([w.name for w in WORKLOADS]), multiple=True, help="Only these workloads.")
@click.option("--without", type=click.Choice(list(VARIANTS)), multiple=True, help="Leave these variants out.")
@click.option("--compiled", type=click.Path(path_type=Path, exists=True), help="Directory of `make compiled`.")
@click.option("--write/--no-write", default=True, show_default=True, help="Whether to write docs/performance.md.")
def main(
    *, rounds: int, seconds: float, only: tuple[str, ...], without: tuple[str, ...], compiled: Path | None, write: bool
) -> None:
    """Measure CPU per answer and added latency of Forebay beside Envoy alone and an empty processor."""
    measured = variants(compiled, floor_program(progress))
    chosen = {name: start for name, start in measured.items() if name not in without}
    workloads = [workload for workload in WORKLOADS if not only or workload.name in only]
    with (
        tempfile.TemporaryDirectory(prefix="forebay-bench-") as directory,
        started(chosen, Path(directory), progress) as stacks,
    ):
        samples = uvloop.run(measure(stacks, workloads, rounds, seconds, progress))
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as directory:
        limited = uvloop.run(measure_limiter(Path(directory), rounds, progress))
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as directory:
        idle = measure_idle(Path(directory), progress)
    routing = RoutingFigures(
        measure_picking(progress),
        uvloop.run(measure_scraping(progress)),
        measure_memory(progress),
        measure_messages(progress),
        uvloop.run(measure_following(progress)),
        idle,
        measure_answers(progress),
    )
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as directory:
        sharing, bursts = measure_sharing(Path(directory), progress), measure_bursts(Path(directory), progress)
        replicas = ReplicaFigures(sharing, bursts)
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as directory:
        tail = measure_tail(Path(directory), progress, rounds, compiled)
        worker = WorkerFigures(tail, measure_growth(Path(directory), progress))
    planning = measure_planning(progress)
    click.echo(tables(samples, limited, routing, replicas, planning, worker=worker))
    if write:
        facts = machine.facts()
        text = document(
            samples, limited, routing, replicas, facts,
            planning=planning, worker=worker, rounds=rounds, seconds=seconds,
        )  # fmt: skip
        DOCUMENT.write_text(text)
        progress(f"written: {DOCUMENT}")


main()
