"""From samples to tables: medians over rounds, and ratios of medians, which alone travel between machines.

Lives here: the figures and their Markdown.  Not here: the facts about the machine (machine).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from bench.limiter import AT_ONCE, LimiterFigures, LimiterSample
from bench.measure import Sample
from bench.memory import INDEXED_BLOCKS, MemoryFigures
from bench.picking import PODS, TOKENS, PickFigures
from bench.scraping import ENDPOINTS, ScrapeFigures
from bench.variants import ALONE, COMPILED, EMPTY, FOREBAY, GATEWAY, IN_BODY_MODE, REDIS, ROLES
from bench.workloads import CONNECTIONS, LATENCY, SLOW, SMALL, SPREAD_S, STREAM, STREAMS, WORKLOADS, Workload


@dataclass(frozen=True, slots=True)
class RoutingFigures:
    """What needs no Envoy."""

    picking: PickFigures
    scraping: ScrapeFigures
    memory: MemoryFigures


Row = Sequence[str]
ABSENT = "-"


class Figures:
    """Medians of the samples of a run."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def _median(self, workload: Workload, variant: str, figure: Callable[[Sample], float | None]) -> float | None:
        """None when the variant was not asked for the workload or has no such figure."""
        samples = [s for s in self._samples if s.workload == workload.name and s.variant == variant]
        values = [value for s in samples if (value := figure(s)) is not None]
        return median(values) if values else None

    def variants(self, workload: Workload) -> list[str]:
        """Those that were asked for the workload, in the order of the run."""
        return list(dict.fromkeys(s.variant for s in self._samples if s.workload == workload.name))

    def rate(self, workload: Workload, variant: str) -> float | None:
        """Answers per second."""
        return self._median(workload, variant, lambda s: s.answers / s.seconds)

    def cpu_us(self, workload: Workload, variant: str, role: str) -> float | None:
        """Microseconds per answer."""
        return self._median(workload, variant, lambda s: s.cpu_us.get(role))

    def latency_ms(self, variant: str, percentile: int) -> float | None:
        """At the fixed rate, in milliseconds."""
        return self._median(LATENCY, variant, lambda s: quantiles(s.latencies, n=100)[percentile - 1] * 1000)

    def added_ms(self, variant: str, percentile: int) -> float | None:
        """Over Envoy alone."""
        return difference(self.latency_ms(variant, percentile), self.latency_ms(ALONE, percentile))


def ratio(figure: float | None, to: float | None) -> float | None:
    """None when either is unknown or there is nothing to compare to."""
    return figure / to if figure is not None and to else None


def difference(figure: float | None, to: float | None) -> float | None:
    """None when either is unknown."""
    return None if figure is None or to is None else figure - to


def number(figure: float | None, places: int = 0) -> str:
    """For a table."""
    return ABSENT if figure is None else f"{figure:,.{places}f}"


def cost_rows(figures: Figures, workload: Workload) -> Iterator[Row]:
    """Per variant: answers per second, CPU per answer of each role, and the gateway's beside the empty processor's."""
    for variant in figures.variants(workload):
        yardstick = EMPTY + IN_BODY_MODE if variant.endswith(IN_BODY_MODE) else EMPTY
        gateway = figures.cpu_us(workload, variant, GATEWAY)
        beside = ratio(gateway, figures.cpu_us(workload, yardstick, GATEWAY))
        cpu = (number(figures.cpu_us(workload, variant, role)) for role in ROLES)
        yield (variant, number(figures.rate(workload, variant)), *cpu, number(beside, 2))


def latency_rows(figures: Figures) -> Iterator[Row]:
    """Per variant: p50 and p99, what each adds to Envoy alone, and the gateway's CPU per answer when it is not busy."""
    for variant in figures.variants(LATENCY):
        values = (f(variant, percentile) for f in (figures.latency_ms, figures.added_ms) for percentile in (50, 99))
        yield (variant, *(number(value, 2) for value in values), number(figures.cpu_us(LATENCY, variant, GATEWAY)))


def picking_rows(picking: PickFigures) -> Iterator[Row]:
    """Per number of pods: microseconds of hashing a prompt, choosing a pod and counting, by the prompt's length."""
    for pods in PODS:
        samples = {sample.tokens: sample for sample in picking.samples if sample.pods == pods}
        costs = (samples[tokens] for tokens in TOKENS)
        yield (number(pods), *(f"{number(cost.hash_us)} + {number(cost.route_us)}" for cost in costs))


def routing_target_rows(figures: Figures, routing: RoutingFigures) -> Iterator[Row]:
    """The targets of routing."""
    empty, picking, memory = figures.cpu_us(SMALL, EMPTY, GATEWAY), routing.picking, routing.memory
    yield (
        "choosing among 100 pods, 4,000 tokens / empty processor's CPU",
        "<= 0.25",
        number(ratio(picking.route_us(100, 4_000), empty), 2),
    )
    yield ("speed of block hashing / of the raw hash", ">= 0.5", number(picking.hash_share, 2))
    yield ("bytes per block in the index", "<= 120", number(memory.bytes_per_block))
    yield (f"GB of {INDEXED_BLOCKS:,} blocks in the index", "<= 1.2", number(memory.index / 1e9, 2))
    yield ("memory after an hour of unique prompts / after a minute", "<= 1.1", number(memory.growth, 2))


def scraping_rows(scraping: ScrapeFigures) -> Iterator[Row]:
    """What one page costs, and what all of them come to."""
    page = f"{scraping.page_bytes / 1000:.0f} KB"
    interval = f"{scraping.interval_s:g} s"
    yield (page, number(scraping.scrape_us), number(ENDPOINTS), interval, f"{scraping.core:.0%}")


def target_rows(figures: Figures, limiter: LimiterFigures) -> Iterator[Row]:
    """The targets, each a ratio of medians."""
    for variant in (COMPILED, FOREBAY):
        if variant in figures.variants(SMALL):
            yield from _request_targets(figures, variant)
    yield ("limiter, 32 at once: reserve and settle / two plain evalsha", "<= 0.7", number(limiter.ratio(), 2))


def _request_targets(figures: Figures, variant: str) -> Iterator[Row]:
    cpu = figures.cpu_us
    small, empty_small = cpu(SMALL, variant, GATEWAY), cpu(SMALL, EMPTY, GATEWAY)
    stream, slow = cpu(STREAM, variant, GATEWAY), cpu(SLOW, variant, GATEWAY)
    added, empty_added = figures.added_ms(variant, 50), figures.added_ms(EMPTY, 50)
    yield (f"gateway CPU, 200-byte prompt: {variant} / empty", "<= 0.8", number(ratio(small, empty_small), 2))
    yield (f"added p50: {variant} / empty", "<= 1.0", number(ratio(added, empty_added), 2))
    yield (f"gateway CPU: {variant}, stream / not streamed, both of 4 s", "<= 1.5", number(ratio(stream, slow), 2))
    yield ("the same stream / 200-byte prompt at full load", ABSENT, number(ratio(stream, small), 2))


def table(header: Row, rows: Iterator[Row]) -> str:
    """Markdown, padded so that it reads as well on a terminal."""
    cells = [header, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    padded = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    rule = "-|-".join("-" * width for width in widths)
    return "\n".join(f"| {line} |" for line in (padded[0], rule, *padded[1:]))


def tables(samples: Sequence[Sample], limited: Sequence[LimiterSample], routing: RoutingFigures | None = None) -> str:
    """The whole result in Markdown."""
    figures, limiter = Figures(samples), LimiterFigures(limited)
    targets = [*target_rows(figures, limiter), *(routing_target_rows(figures, routing) if routing else ())]
    parts = ["## Targets", table(("ratio of medians", "target", "measured"), iter(targets))]
    for workload in WORKLOADS:
        if workload is not LATENCY and figures.variants(workload):
            header = ("", "answers/s", *(f"{role} CPU us" for role in ROLES), "gateway / empty")
            parts += [f"## {workload.title}", table(header, cost_rows(figures, workload))]
    if figures.variants(LATENCY):
        header = ("milliseconds", "p50", "p99", "added p50", "added p99", "gateway CPU us")
        parts += [f"## {LATENCY.title}", table(header, latency_rows(figures))]
    if limited:
        header = ("CPU us", *(f"{side}, {count} at once" for count in AT_ONCE for side in ("gateway", REDIS)))
        parts += ["## One reserve and its settlement", table(header, limiter.rows())]
    if routing:
        header = ("pods", *(f"{tokens:,} tokens" for tokens in TOKENS))
        parts += [
            "## A decision: us of hashing the prompt + choosing and counting",
            table(header, picking_rows(routing.picking)),
            "## Engine metrics",
            table(("page", "CPU us", "endpoints", "each every", "of a core"), scraping_rows(routing.scraping)),
        ]
    return "\n\n".join(parts)


def document(
    samples: Sequence[Sample],
    limited: Sequence[LimiterSample],
    routing: RoutingFigures | None,
    machine: Mapping[str, str],
    *,
    rounds: int,
    seconds: float,
) -> str:
    """docs/performance.md."""
    turns = f"{rounds} rounds of {seconds:g} s"
    held = f"{STREAMS} requests whose starts are spread over {SPREAD_S:g} s"
    return f"""# Performance

Written by `make bench`: its last run and the machine of that run. Machines differ by a factor of three and are noisy:
only ratios within one run mean anything elsewhere. What was run with a real vLLM is on a [page of its own](vllm.md).

{table(("", ""), iter(machine.items()))}

All variants run side by side and take turns, {turns}; figures are medians over rounds. CPU is user and system
time of all threads per answer, what follows the answer included. {CONNECTIONS} connections; for what takes
seconds, {held}.

The empty processor has no logic: behind the same Envoy configuration as Forebay, it parses every message and sends an
empty reply. One Envoy thread, one gateway worker; the user has limits. The limiter by itself: the two scripts through
Forebay, the same with each call sent by itself, and through redis-py's `evalsha` with nothing made of the replies.

"Compiled" is the request path as machine code (`make compiled`; the container image has it), "Forebay" the same sources
as Python interprets them (`make up`). The limiter, decisions and metrics by themselves are interpreted.

{tables(samples, limited, routing)}
"""
