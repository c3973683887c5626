"""The measurement of the limiter on a real Redis, in very short runs."""

import pytest

from bench import limiter as bench_limiter
from bench.limiter import COALESCED, PLAIN, SEPARATE, LimiterFigures, LimiterSample, measure_limiter


@pytest.mark.interpreted("a double for the coalescer")
async def test_every_variant_is_measured_at_every_concurrency(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_limiter, "RUN_S", 0.05)
    lines = []

    samples = await measure_limiter(tmp_path, 2, lines.append)

    assert {(name, concurrency): 2 for name in (COALESCED, SEPARATE, PLAIN) for concurrency in (1, 32)} == {
        (sample.variant, sample.concurrency): sum(
            each.variant == sample.variant and each.concurrency == sample.concurrency for each in samples
        )
        for sample in samples
    }
    assert all(sample.cpu_us > 0 and sample.redis_cpu_us > 0 for sample in samples)
    assert 2 == len(lines)


def test_the_ratio_is_of_medians_and_absent_when_nothing_was_measured():
    ours = [LimiterSample(COALESCED, 32, us, 1.0) for us in (20.0, 90.0, 30.0)]

    assert None is LimiterFigures(ours).ratio()
    assert 0.6 == LimiterFigures([*ours, LimiterSample(PLAIN, 32, 50.0, 1.0)]).ratio()
