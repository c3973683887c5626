"""The line from requests to the gap between tokens."""

from math import inf

import pytest

from routing.pods.pace import MIN_SAMPLES, Pace


def paced(*looks: tuple[float, float]) -> Pace:
    pace = Pace()
    for requests, pass_s in looks:
        pace.learn(requests, pass_s)
    return pace


def test_a_line_says_how_many_requests_keep_the_promise() -> None:
    pace = paced(*((requests, 0.01 + 0.001 * requests) for requests in (5, 20, 60)))

    assert pace.max_batch_for_itl(0.05) == pytest.approx(40.0)
    assert pace.max_batch_for_itl(0.02) == pytest.approx(10.0)
    assert pace.max_batch_for_itl(0.005) == 1.0
    assert pace.max_batch_for_itl(inf) == inf


@pytest.mark.parametrize(
    "looks",
    [
        (),
        ((5, 0.015), (20, 0.03))[: MIN_SAMPLES - 1],
        ((20, 0.2), (20, 0.3), (20, 0.1), (20, 0.2)),
        ((5, 0.03), (20, 0.02), (60, 0.01)),
    ],
)
def test_what_gives_no_line_upwards_holds_back_nobody(looks: tuple[tuple[float, float], ...]) -> None:
    assert paced(*looks).max_batch_for_itl(0.05) == inf


def test_where_passes_grow_faster_than_requests_the_mean_is_what_counts() -> None:
    assert paced((10, 0.001), (20, 0.01), (30, 0.04)).max_batch_for_itl(0.017) == pytest.approx(
        0.017 * 20 / 0.017, rel=0.05
    )


def test_what_was_long_ago_counts_little() -> None:
    pace = paced(*((requests, 0.5) for requests in (1, 2, 3)))
    for look in range(300):
        requests = 5 + look % 40
        pace.learn(requests, 0.01 + 0.001 * requests)

    assert pace.max_batch_for_itl(0.05) == pytest.approx(40.0, rel=0.02)
