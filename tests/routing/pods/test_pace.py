"""The line from requests in flight to the ITL."""

from math import inf

import pytest

from routing.pods.pace import MIN_SAMPLES, Pace


def paced(*samples: tuple[float, float]) -> Pace:
    pace = Pace()
    for requests, pass_s in samples:
        pace.learn(requests, pass_s)
    return pace


def test_a_line_gives_the_most_requests_that_keep_an_itl() -> None:
    pace = paced(*((requests, 0.01 + 0.001 * requests) for requests in (5, 20, 60)))

    assert pace.max_batch_for_itl(0.05) == pytest.approx(40.0)
    assert pace.max_batch_for_itl(0.02) == pytest.approx(10.0)
    assert pace.max_batch_for_itl(0.005) == 1.0
    assert pace.max_batch_for_itl(inf) == inf


@pytest.mark.parametrize(
    "samples",
    [
        (),
        ((5, 0.015), (20, 0.03))[: MIN_SAMPLES - 1],
        ((20, 0.2), (20, 0.3), (20, 0.1), (20, 0.2)),
        ((5, 0.03), (20, 0.02), (60, 0.01)),
    ],
)
def test_without_a_rising_line_there_is_no_limit(samples: tuple[tuple[float, float], ...]) -> None:
    assert paced(*samples).max_batch_for_itl(0.05) == inf


def test_where_passes_grow_faster_than_requests_the_mean_is_what_counts() -> None:
    assert paced((10, 0.001), (20, 0.01), (30, 0.04)).max_batch_for_itl(0.017) == pytest.approx(
        0.017 * 20 / 0.017, rel=0.05
    )


def test_what_was_long_ago_counts_little() -> None:
    pace = paced(*((requests, 0.5) for requests in (1, 2, 3)))
    for sample in range(300):
        requests = 5 + sample % 40
        pace.learn(requests, 0.01 + 0.001 * requests)

    assert pace.max_batch_for_itl(0.05) == pytest.approx(40.0, rel=0.02)
