from simulator.metrics.histogram import Histogram


def test_buckets_are_cumulative_and_their_bounds_included():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)

    samples = {s.labels.get("le", s.name): s.value for s in histogram.family("x", "", {"model": "m"}).samples}

    assert {"1.0": 2, "2.0": 3, "+Inf": 4, "x_count": 4, "x_sum": 12.0} == samples
