"""The measurement of decisions, on a small scale."""

import pytest

from bench import picking


def test_every_part_of_a_decision_is_measured(monkeypatch: pytest.MonkeyPatch):
    small = {"PODS": (3,), "TOKENS": (500,), "PODS_BY_PLAN": 4, "TOKENS_BY_PLAN": 500, "DECISIONS": 8, "PROMPTS": 2}
    for name, value in small.items():
        monkeypatch.setattr(picking, name, value)

    figures = picking.measure_picking(lambda _: None)

    (sample,) = figures.samples
    assert min(sample.hash_us, sample.route_us, sample.end_us, figures.hash_share, figures.by_plan) > 0
    assert sample.route_us == figures.route_us(3, 500)
