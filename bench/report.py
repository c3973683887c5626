"""Tables from samples: medians over rounds, and ratios of medians, which are comparable between machines.

Lives here: the figures and their Markdown.  Not here: the facts about the machine (machine).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from bench.bursts import PODS as BURST_PODS
from bench.bursts import REQUESTS, WORKERS, BurstFigures
from bench.following import RATE, FollowFigures
from bench.idle import IdleSample
from bench.limiter import CONCURRENCY, LimiterFigures, LimiterSample
from bench.measure import Sample
from bench.memory import INDEXED_BLOCKS, MemoryFigures
from bench.messages import MEGABYTES, MessageSample
from bench.picking import PODS, TOKENS, PickFigures
from bench.planning import HEADER as PLANNING_HEADER
from bench.planning import JOINT, JOINT_HEADER, LARGE, PlanFigures
from bench.scraping import ENDPOINTS, ScrapeFigures
from bench.sharing import RATE as SHARING_RATE
from bench.sharing import SharingFigures, SharingSample
from bench.tables import ABSENT, Row, difference, number, ratio, table
from bench.variants import (
    ALONE,
    COMPILED,
    EMPTY,
    EMPTY_GO,
    EXT_PROC_MODE,
    FOREBAY,
    GATEWAY,
    NOT_SHARING,
    REDIS,
    ROLES,
    TWO_WORKERS,
)
from bench.worker_report import WorkerFigures
from bench.workloads import CONNECTIONS, DOUBLE, LATENCY, SLOW, SMALL, SPREAD_S, STREAM, STREAMS, WORKLOADS, Workload


@dataclass(frozen=True, slots=True)
class RoutingFigures:
    """The figures that need no Envoy."""

    picking: PickFigures
    scraping: ScrapeFigures
    memory: MemoryFigures
    messages: Sequence[MessageSample]
    following: FollowFigures
    idle: Sequence[IdleSample]
    answers: Mapping[str, Sequence[MessageSample]]


@dataclass(frozen=True, slots=True)
class ReplicaFigures:
    """The figures of several workers."""

    sharing: SharingFigures
    bursts: BurstFigures


FOLLOWING_HEADER = ("pods", "sent", "kept", "list, CPU ms", "event, CPU us", f"at {RATE}/s", "share of a core")
CPU_TARGETS = {COMPILED: "<= 0.65", FOREBAY: "<= 0.9"}
"""Gateway CPU per 200-byte request over the empty processor's, by variant.  All of Forebay's work on its own HTTP/2
server must cost less than grpc.aio does without any work (decision 0010)."""
P50_TARGETS = {COMPILED: "<= 1.1", FOREBAY: "<= 1.2"}
"""Added p50 at RATE over the empty processor's, by variant.  Forebay also waits for Redis, and may take little longer
than a processor that waits for nothing (chosen)."""


class Figures:
    """Medians of the samples of a run."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def _median(self, workload: Workload, variant: str, figure: Callable[[Sample], float | None]) -> float | None:
        """Return the median of a figure, or None when the variant did not run the workload or has no such figure."""
        samples = [s for s in self._samples if s.workload == workload.name and s.variant == variant]
        values = [value for s in samples if (value := figure(s)) is not None]
        return median(values) if values else None

    def variants(self, workload: Workload) -> list[str]:
        """Return the variants that ran the workload, in the order of the run."""
        return list(dict.fromkeys(s.variant for s in self._samples if s.workload == workload.name))

    def rate(self, workload: Workload, variant: str) -> float | None:
        """Return the answers per second."""
        return self._median(workload, variant, lambda s: s.answers / s.seconds)

    def cpu_us(self, workload: Workload, variant: str, role: str) -> float | None:
        """Return the CPU microseconds of a role per answer."""
        return self._median(workload, variant, lambda s: s.cpu_us.get(role))

    def latency_ms(self, variant: str, percentile: int) -> float | None:
        """Return a percentile of the latency at RATE, in milliseconds."""
        return self._median(LATENCY, variant, lambda s: quantiles(s.latencies, n=100)[percentile - 1] * 1000)

    def added_ms(self, variant: str, percentile: int) -> float | None:
        """Return how much longer than Envoy alone's that percentile is, in milliseconds."""
        return difference(self.latency_ms(variant, percentile), self.latency_ms(ALONE, percentile))


def cost_rows(figures: Figures, workload: Workload) -> Iterator[Row]:
    """Yield per variant answers per second, CPU per answer by role, and the gateway's over the empty processor's."""
    for variant in figures.variants(workload):
        kind = EXT_PROC_MODE if variant.endswith(EXT_PROC_MODE) else TWO_WORKERS if TWO_WORKERS in variant else ""
        empty = EMPTY + kind
        gateway = figures.cpu_us(workload, variant, GATEWAY)
        beside = ratio(gateway, figures.cpu_us(workload, empty, GATEWAY))
        cpu = (number(figures.cpu_us(workload, variant, role)) for role in ROLES)
        yield (variant, number(figures.rate(workload, variant)), *cpu, number(beside, 2))


def latency_rows(figures: Figures) -> Iterator[Row]:
    """Yield per variant p50, p99, what each adds to Envoy alone, and the gateway's CPU per answer at low load."""
    for variant in figures.variants(LATENCY):
        values = (f(variant, percentile) for f in (figures.latency_ms, figures.added_ms) for percentile in (50, 99))
        yield (variant, *(number(value, 2) for value in values), number(figures.cpu_us(LATENCY, variant, GATEWAY)))


def picking_rows(picking: PickFigures) -> Iterator[Row]:
    """Yield per number of pods the microseconds of hashing, and of choosing and counting, by length of prompt."""
    for pods in PODS:
        samples = {sample.tokens: sample for sample in picking.samples if sample.pods == pods}
        costs = (samples[tokens] for tokens in TOKENS)
        yield (number(pods), *(f"{number(cost.hash_us)} + {number(cost.route_us)}" for cost in costs))


def message_rows(messages: Sequence[MessageSample]) -> Iterator[Row]:
    """Yield per shape the milliseconds by size."""
    for shape in dict.fromkeys(sample.shape for sample in messages):
        yield (shape, *(number(sample.ms, 1) for sample in messages if sample.shape == shape))


def answer_rows(answers: Mapping[str, Sequence[MessageSample]]) -> Iterator[Row]:
    """Yield per shape the milliseconds by reader."""
    for samples in zip(*answers.values(), strict=True):
        yield (samples[0].shape, *(number(sample.ms, 1) for sample in samples))


def routing_target_rows(figures: Figures, routing: RoutingFigures) -> Iterator[Row]:
    """Yield the targets of routing."""
    empty, picking, memory = figures.cpu_us(SMALL, EMPTY, GATEWAY), routing.picking, routing.memory
    yield (
        "choosing among 100 pods, 4,000 tokens / empty processor's CPU",
        "<= 0.25",
        number(ratio(picking.route_us(100, 4_000), empty), 2),
    )
    yield ("choosing by plan / by the default strategy, 100 pods", "<= 2", number(picking.by_plan, 2))
    yield ("speed of block hashing / of bytes in Python", ">= 0.5", number(picking.hash_share, 2))
    yield ("bytes per block in the index", "<= 120", number(memory.bytes_per_block))
    for megabytes in MEGABYTES:
        worst = max(sample.ms for sample in routing.messages if sample.megabytes == megabytes)
        yield (f"ms of the loop for the worst message of {megabytes} MB", f"<= {10 * megabytes}", number(worst, 1))
    for sample in routing.idle[:1]:
        yield (f"share of a core, one worker with {sample.pods} idle pods", "<= 0.1", number(sample.core, 2))
    yield (f"GB of {INDEXED_BLOCKS:,} blocks in the index", "<= 1.2", number(memory.index / 1e9, 2))
    yield ("memory after an hour of unique prompts / after a minute", "<= 1.1", number(memory.growth, 2))


def scraping_rows(scraping: ScrapeFigures) -> Iterator[Row]:
    """Yield the cost of one page, and of scraping all endpoints."""
    page = f"{scraping.page_bytes / 1000:.0f} KB"
    interval = f"{scraping.interval_s:g} s"
    yield (page, number(scraping.scrape_us), number(ENDPOINTS), interval, f"{scraping.core:.0%}")


def idle_rows(idle: Sequence[IdleSample]) -> Iterator[Row]:
    """Yield what a worker with nothing to do takes, by its pods."""
    for sample in idle:
        yield (number(sample.pods), number(sample.core_seconds, 1), f"{sample.core:.1%}")


def following_rows(following: FollowFigures) -> Iterator[Row]:
    """Yield the cost of a set of pods that follows the API server of Kubernetes."""
    yield (
        number(following.pods),
        f"{following.pod_bytes / 1000:.0f} KB",
        f"{following.kept_bytes / 1000:.1f} KB",
        number(following.list_cpu_s * 1000),
        number(following.storm_us),
        number(following.paced_us),
        f"{following.core:.1%}",
    )


def target_rows(figures: Figures, limiter: LimiterFigures) -> Iterator[Row]:
    """Yield the targets of the request path, each a ratio of medians."""
    for variant in (COMPILED, FOREBAY):
        if variant in figures.variants(SMALL):
            yield from _request_targets(figures, variant)
    yield ("limiter, 32 at once: reserve and settle / two plain evalsha", "<= 0.7", number(limiter.ratio(), 2))


def _request_targets(figures: Figures, variant: str) -> Iterator[Row]:
    cpu = figures.cpu_us
    small, empty_small = cpu(SMALL, variant, GATEWAY), cpu(SMALL, EMPTY, GATEWAY)
    stream, slow = cpu(STREAM, variant, GATEWAY), cpu(SLOW, variant, GATEWAY)
    added, empty_added = figures.added_ms(variant, 50), figures.added_ms(EMPTY, 50)
    yield (
        f"gateway CPU, 200-byte prompt: {variant} / empty",
        CPU_TARGETS[variant],
        number(ratio(small, empty_small), 2),
    )
    floor = cpu(SMALL, EMPTY_GO, GATEWAY)
    if floor is not None:
        yield (f"the same: {variant} / {EMPTY_GO}, the floor", ABSENT, number(ratio(small, floor), 2))
    yield (f"added p50: {variant} / empty", P50_TARGETS[variant], number(ratio(added, empty_added), 2))
    yield (f"gateway CPU: {variant}, stream / not streamed, both of 4 s", "<= 1.5", number(ratio(stream, slow), 2))
    yield ("the same stream / 200-byte prompt at full load", ABSENT, number(ratio(stream, small), 2))


def replica_target_rows(figures: Figures, replicas: ReplicaFigures | None) -> Iterator[Row]:
    """Yield the targets of several workers; those of the empty processor tell what of it is the machine's."""
    for variant in (EMPTY, COMPILED, FOREBAY):
        one = figures.cpu_us(SMALL, variant, GATEWAY)
        two = figures.cpu_us(DOUBLE, variant + TWO_WORKERS, GATEWAY)
        if two is not None:
            yield (
                f"gateway CPU: {variant}, two workers with twice the load / one",
                ABSENT if variant == EMPTY else "<= 1.1",
                number(ratio(two, one), 2),
            )
        if two is not None and variant != EMPTY:
            without = figures.cpu_us(DOUBLE, variant + TWO_WORKERS + NOT_SHARING, GATEWAY)
            yield ("the same two workers / two that do not share", ABSENT, number(ratio(two, without), 2))
    if replicas is not None:
        what = f"{REQUESTS} at once over {WORKERS} workers on {BURST_PODS} idle pods: most on any pod"
        yield (what, "<= 3", number(max(replicas.bursts.most)))


def planning_target_rows(planning: PlanFigures | None) -> Iterator[Row]:
    """Yield the target of plans."""
    if planning is not None:
        yield (f"s for a plan of {LARGE[0]} GPU types and {LARGE[1]} buckets", "<= 0.5", number(planning.large_s(), 2))


def sharing_rows(sharing: SharingFigures) -> Iterator[Row]:
    """Yield the cost of sharing by pods and workers, and of idle workers."""
    for sample in sharing.loaded:
        yield (number(sample.pods), *_sharing_cells(sample))
    for sample in sharing.idle:
        yield ("idle", *_sharing_cells(sample))


def _sharing_cells(sample: SharingSample) -> Row:
    shares = (f"{max(0.0, core):.1%}" for core in (sample.core, sample.redis_core))
    kilobytes = (number(count / 1000, 1) for count in (sample.sent_bytes_s, sample.received_bytes_s))
    return (number(sample.workers), *shares, *kilobytes, *(number(age_ms) for age_ms in sample.age_ms))


def _routing_parts(routing: RoutingFigures) -> list[str]:
    """Return the tables of what needs no Envoy."""
    header = ("pods", *(f"{tokens:,} tokens" for tokens in TOKENS))
    return [
        "## A decision: CPU us of hashing the prompt + of choosing and counting",
        table(header, picking_rows(routing.picking)),
        "## One message: ms of the event loop from its bytes to the blocks of its prompt",
        table(("body", *(f"{size} MB" for size in MEGABYTES)), message_rows(routing.messages)),
        "## One MB of an answer in ext_proc mode: ms of the event loop",
        table(("body", *routing.answers), answer_rows(routing.answers)),
        "## Engine metrics",
        table(("page", "CPU us", "endpoints", "interval", "share of a core"), scraping_rows(routing.scraping)),
        "## One worker with idle pods, each with the page above",
        table(("pods", "core seconds per minute", "share of a core"), idle_rows(routing.idle)),
        f"## Following pods of Kubernetes: bytes of each, the first list, events all at once and {RATE} per second",
        table(FOLLOWING_HEADER, following_rows(routing.following)),
    ]


def tables(
    samples: Sequence[Sample],
    limited: Sequence[LimiterSample],
    routing: RoutingFigures | None = None,
    replicas: ReplicaFigures | None = None,
    planning: PlanFigures | None = None,
    *,
    worker: WorkerFigures | None = None,
) -> str:
    """Return all tables in Markdown."""
    figures, limiter = Figures(samples), LimiterFigures(limited)
    targets = [
        *target_rows(figures, limiter),
        *(routing_target_rows(figures, routing) if routing else ()),
        *replica_target_rows(figures, replicas),
        *planning_target_rows(planning),
        *(worker.target_rows() if worker else ()),
    ]
    parts = ["## Targets", table(("ratio of medians", "target", "measured"), iter(targets))]
    for workload in WORKLOADS:
        if workload is not LATENCY and figures.variants(workload):
            header = ("", "answers/s", *(f"{role} CPU us" for role in ROLES), "gateway / empty")
            parts += [f"## {workload.title}", table(header, cost_rows(figures, workload))]
    if figures.variants(LATENCY):
        header = ("milliseconds", "p50", "p99", "added p50", "added p99", "gateway CPU us")
        parts += [f"## {LATENCY.title}", table(header, latency_rows(figures))]
    if worker:
        variant = COMPILED if COMPILED in figures.variants(SMALL) else FOREBAY
        parts += worker.parts({role: figures.cpu_us(SMALL, variant, role) for role in ROLES})
    if limited:
        header = ("CPU us", *(f"{side}, {count} at once" for count in CONCURRENCY for side in ("gateway", REDIS)))
        parts += ["## One reserve and its settlement", table(header, limiter.rows())]
    parts += _routing_parts(routing) if routing else []
    if replicas:
        header = (
            "pods",
            "workers",
            "a worker's CPU",
            "Redis's CPU",
            "sent KB/s",
            "received KB/s",
            "age p50 ms",
            "p99 ms",
        )
        parts += ["## Sharing among replicas", table(header, sharing_rows(replicas.sharing))]
    if planning:
        parts += ["## Plans of GPU types, verification included", table(PLANNING_HEADER, planning.rows())]
        parts += [f"{JOINT[0]} models on one inventory:", table(JOINT_HEADER, planning.joint_rows())]
    return "\n\n".join(parts)


def document(
    samples: Sequence[Sample],
    limited: Sequence[LimiterSample],
    routing: RoutingFigures | None,
    replicas: ReplicaFigures | None,
    machine: Mapping[str, str],
    *,
    planning: PlanFigures | None,
    worker: WorkerFigures | None = None,
    rounds: int,
    seconds: float,
) -> str:
    """Return the content of docs/performance.md."""
    turns = f"{rounds} rounds of {seconds:g} s"
    spread = f"{STREAMS} requests whose starts are spread over {SPREAD_S:g} s"
    return f"""# Performance

`make bench` writes this page: its last run, on the machine below. Machines differ by a factor of three and are noisy,
so only ratios within one run can be compared with those of another. Tests with a real vLLM are on [their own
page](vllm.md).

{table(("", ""), iter(machine.items()))}

All variants run side by side and take turns, {turns}; figures are medians over rounds. CPU is user and system
time of all threads per answer, with the access log and the settlement that follow it. {CONNECTIONS} connections make
the load; answers that take seconds are measured with {spread}.

The empty processor is behind the same Envoy configuration as Forebay, parses every message and sends an empty reply,
without any logic: "grpc.aio" in Python, and "grpc-go" in Go on one core (`bench/go`, measured where there is Go), the
floor, below which no request path on gRPC's own libraries comes. Envoy has one thread and the gateway one worker; the
user has limits. The limiter is measured by itself in three ways: its two scripts through Forebay, the same with each
call sent separately, and through redis-py's `evalsha` without parsing the replies.

"Forebay, compiled" is the request path as machine code (`make compiled`; the container image has it), "Forebay" the
same sources interpreted by Python (`make up`). The limiter, decisions and metrics by themselves are interpreted.

Sharing is measured by itself: one worker of so many, {SHARING_RATE:g} requests per second at each, without Envoy. Its
CPU is what sharing adds to that of the same requests, as a share of a core, and so is that of Redis, over all workers;
bytes are those of one worker. The age is that of what others know: from the moment at which a request begins or ends
until it could be known elsewhere. Two workers of the whole gateway have twice the load of one.

The tail is that of one worker with limits, 8 pods that are checked and scraped, a sibling with as many requests, and
somebody who reads the metrics; the empty processor has none of it. A lag is the time in which the loop did not get to a
timer of 1 ms, and its CPU is that of the loop's thread, which other processes do not lengthen. [Decision
43](decisions/0043-background-work-comes-in-pieces.md) says what gave how much.

{tables(samples, limited, routing, replicas, planning, worker=worker)}
"""
