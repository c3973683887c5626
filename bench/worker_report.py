"""Targets and tables of a whole worker: its tail, the memory it takes, and how many are needed.

Lives here: the rows.  Not here: the measurements (tail, growth), the other figures (report).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil

from bench.growth import HELD_S, STREAMS, GrowthFigures
from bench.tables import ABSENT, Row, number, ratio, table
from bench.tail import LAG_S, LARGE_RATE, PODS, TailFigures
from bench.variants import ALONE, EMPTY, ENVOY, GATEWAY, REDIS
from bench.workloads import RATE

SHOWN_LAGS = 5
RATES = (10, 100, 1_000)
"""Requests per second that are sized for."""
BUSY = 0.6
"""Share of a core that a worker or a thread of Envoy should be busy for at most (chosen: beyond, queues form)."""


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """All figures of a whole worker."""

    tail: TailFigures
    growth: GrowthFigures

    def target_rows(self) -> Iterator[Row]:
        """Yield the targets."""
        growth, tail = self.growth, self.tail
        added = self._added_ms()
        empty = added.get(EMPTY, (None, None))[1]
        for variant, (_, p99_ms) in added.items():
            if variant not in (ALONE, EMPTY):
                over = number(ratio(p99_ms, empty), 2)
                yield (f"added p99 with everything at work: {variant} / empty", "<= 1.2", over)
        worst_ms = max((lag.cpu_ms for lag in tail.lags), default=0.0)
        yield (f"ms of CPU in the longest lag of the loop in {LAG_S:g} s", "<= 5", number(worst_ms, 1))
        beside = number(ratio(tail.beside_ms, tail.without_ms), 2)
        yield (f"p99 of 200-byte requests beside {LARGE_RATE} of 1 MB a second / without", "<= 2", beside)
        huge_ms = number(tail.huge_us[GATEWAY] / 1e3, 1)
        yield ("ms of the gateway's CPU for a prompt of 100,000 tokens", "<= 20", huge_ms)
        yield (f"KB of a stream, {STREAMS:,} held for {HELD_S:g} s", "<= 20", number(growth.stream / 1e3, 1))
        most = max(growth.growth.values(), default=0.0)
        yield ("bytes that a request leaves behind, of the kind that leaves most", ABSENT, number(most / 10_000))

    def _added_ms(self) -> dict[str, tuple[float, float]]:
        """Return what variants add to the percentiles of Envoy alone."""
        found = {tail.variant: (tail.p50_ms, tail.p99_ms) for tail in self.tail.tails}
        alone = found.get(ALONE, (0.0, 0.0))
        return {name: (p50_ms - alone[0], p99_ms - alone[1]) for name, (p50_ms, p99_ms) in found.items()}

    def parts(self, short_us: Mapping[str, float | None]) -> list[str]:
        """Return the tables; `short_us` is the CPU of a short request by role."""
        growth = self.growth
        return [
            f"## {RATE} requests per second with everything at work: limits, {PODS} pods, a sibling, metrics",
            table(("milliseconds", "p50", "p99", "added p50", "added p99"), self._tail_rows()),
            f"The longest lags of the loop in {LAG_S:g} s, of a worker that watches itself:",
            table(("ms of CPU", "ms", "what ran"), self._lag_rows()),
            "## Memory of a worker",
            table(("of", "KB"), self._memory_rows()),
            "What 10,000 more requests leave behind, each with another:",
            table(("value", "KB"), ((name, number(size / 1e3)) for name, size in growth.growth.items())),
            f"## Sizes: cores of workers and Envoy that are {BUSY:.0%} busy, and Redis, by the CPU that was measured",
            table(("requests/s", "prompt", "workers", "Envoy's threads", "Redis"), self._size_rows(short_us)),
        ]

    def _tail_rows(self) -> Iterator[Row]:
        added = self._added_ms()
        for tail in self.tail.tails:
            values = (tail.p50_ms, tail.p99_ms, *added[tail.variant])
            yield (tail.variant, *(number(value, 2) for value in values))

    def _lag_rows(self) -> Iterator[Row]:
        for lag in self.tail.lags[:SHOWN_LAGS]:
            what = lag.what.split(" | ")[0]
            yield (number(lag.cpu_ms, 1), number(lag.wall_ms, 1), what)

    def _memory_rows(self) -> Iterator[Row]:
        yield ("a stream that is held", number(self.growth.stream / 1e3, 1))
        yield ("1,000 users with limits, once served", number(self.growth.users / 1e3))
        yield ("100 pods", number(self.growth.pods / 1e3))

    def _size_rows(self, short_us: Mapping[str, float | None]) -> Iterator[Row]:
        for rate in RATES:
            for prompt, cpu_us in (("short", short_us), ("100,000 tokens", self.tail.huge_us)):
                yield (number(rate), prompt, *_sizes(rate, cpu_us))


def _sizes(rate: int, cpu_us: Mapping[str, float | None]) -> Iterator[str]:
    """Yield workers, threads of Envoy, and Redis' share of its core."""
    for role in (GATEWAY, ENVOY):
        us = cpu_us.get(role)
        yield ABSENT if us is None else number(ceil(rate * us / 1e6 / BUSY))
    redis_us = cpu_us.get(REDIS)
    yield ABSENT if redis_us is None else f"{rate * redis_us / 1e6:.0%}"
