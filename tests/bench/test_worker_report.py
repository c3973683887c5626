"""The rows of a whole worker's figures."""

from bench.growth import GrowthFigures
from bench.tail import Tail, TailFigures
from bench.variants import ALONE, EMPTY, FOREBAY
from bench.watch import Lag
from bench.worker_report import WorkerFigures

TAIL = TailFigures(
    tails=(Tail(ALONE, 1.0, 2.0), Tail(EMPTY, 2.0, 6.0), Tail(FOREBAY, 2.5, 8.0)),
    lags=(Lag(3.0, 9.0, 7.0, "a.page < b.run | c.other"),),
    beside_ms=9.0,
    without_ms=6.0,
    huge_us={"gateway": 6_000.0, "envoy": 3_000.0, "redis": 100.0},
)
GROWTH = GrowthFigures({"prompts": 20_000.0, "users": 50_000.0}, stream=15_000.0, users=2e6, pods=1e6)
WORKER = WorkerFigures(TAIL, GROWTH)


def test_each_target_is_a_ratio_or_a_bound():
    assert ["1.50", "3.0", "1.50", "6.0", "15.0", "5"] == [row[2] for row in WORKER.target_rows()]


def test_a_lag_names_what_ran_first():
    assert "| 3.0       | 9.0 | a.page < b.run |" in "\n".join(WORKER.parts({}))


def test_sizes_follow_from_cpu_and_what_was_not_measured_is_absent():
    text = "\n".join(WORKER.parts({"gateway": 300.0, "redis": 50.0}))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]

    assert ["1,000", "short", "1", "-", "5%"] in rows
    assert ["100", "100,000 tokens", "1", "1", "1%"] in rows
    assert ["1,000", "100,000 tokens", "10", "5", "10%"] in rows
