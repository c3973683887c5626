"""The service curve: what was seen, extended by its slope, per output token."""

import pytest

from autoscaling.slo.service import FLOOR, MOST_STRANGE, Curve, Service


def learned(*samples: tuple[float, float]) -> Service:
    service = Service()
    for running, seconds in samples:
        service.observe(running, seconds, 1.0)
    return service


def test_from_one_concurrency_alone_little_is_hoped():
    assert Curve(2.0, 4, 0.5) == learned((4, 0.02)).curve(100)
    assert learned((16, 0.02)).curve(100).exponent > 0.75


def test_a_straight_line_is_extended_within_some_percent():
    curve = learned(*[(b, 5 + 0.5 * b) for b in range(4, 13)]).curve(1)

    assert curve.seconds(12) == pytest.approx(11, rel=0.02)
    assert curve.seconds(16) == pytest.approx(13, rel=0.05)


def test_hope_flattens_it_beyond_what_was_seen_only():
    service = learned(*[(b, 5 + 0.5 * b) for b in range(4, 13)])
    feared, hoped = service.curve(1), service.curve(1, hope=0.5)

    assert feared.seconds(12) == hoped.seconds(12)
    assert feared.seconds(24) > hoped.seconds(24)


def test_few_at_once_are_not_endlessly_fast():
    assert FLOOR * 2 == Curve(2.0, 10, 1.0).seconds(1)


def test_service_times_grow_with_the_answers():
    service = learned((4, 0.02), (6, 0.03))

    assert 2 * service.curve(100).seconds(5) == service.curve(200).seconds(5)


def test_a_sample_of_little_weight_changes_little():
    service = learned((4, 1.0))
    service.observe(4, 2.0, 0.01)

    assert service.seen[4][0] < 1.02


def test_another_engine_is_learned_anew():
    service = learned(*[(b, 1.0) for b in range(1, 9)])

    changed = [service.observe(b, 5.0, 1.0) for b in (1, 2, 3, 4, 5, 6, 7, 8) * 3]

    assert 1 == changed.count(True) and changed.index(True) == MOST_STRANGE - 1
    assert 5 == service.curve(1).seconds(8)


def test_a_few_strange_samples_are_not_another_engine():
    service = learned(*[(b, 1.0) for b in range(1, 9)])

    assert not any(service.observe(4, value, 1.0) for value in [3.0, 3.0, 1.5, 1.5, 1.2, 1.2] * 3)
    assert 8 == len(service.seen)


def test_nothing_seen_has_no_curve():
    assert Service().curve(1) is None
