"""The regression: its prior, its bounds, what it makes of noise and of sums, and that old observations pass."""

from random import Random

import pytest

from gateway.accounting.regression import BoundedRegression, Term

TERMS = (Term(7.0, 0.002, 0.0, 1000.0), Term(0.25, 8000.0, 0.01, 1.0), Term(0.25, 8000.0, 0.0, 1.0))


def a_regression() -> BoundedRegression:
    return BoundedRegression(TERMS, decay_observations=200)


def predicted(regression: BoundedRegression, features: tuple[float, ...]) -> float:
    return sum(c * f for c, f in zip(regression.coefficients, features, strict=True))


def teach(regression: BoundedRegression, rng: Random, truth: tuple[float, ...], requests: int) -> tuple[float, float]:
    """Return what there was in total, and what was expected of it in advance."""
    real = expected = 0.0
    for _ in range(requests):
        size = rng.lognormvariate(6, 1.5)
        features = (1.0, size, size * rng.choice([0.0, 0.0, 2.0]))
        tokens = sum(c * f for c, f in zip(truth, features, strict=True)) * rng.lognormvariate(0, 0.1)
        expected += predicted(regression, features)
        regression.learn(features, tokens, 1 / (7 + features[1] / 4))
        real += tokens
    return real, expected


def test_before_anything_is_learned_the_prior_decides():
    assert 7 + 25 + 5 == predicted(a_regression(), (1, 100, 20))


@pytest.mark.parametrize("seed", range(5))
def test_totals_are_met_and_coefficients_found_under_noise(seed: int):
    regression, rng, truth = a_regression(), Random(seed), (30.0, 0.31, 0.12)
    teach(regression, rng, truth, 300)
    real, expected = teach(regression, rng, truth, 300)
    assert real == pytest.approx(expected, rel=0.05)
    assert truth[1:] == pytest.approx(regression.coefficients[1:], abs=0.03)


def test_coefficients_stay_inside_their_bounds_and_the_others_make_up_for_it():
    regression = a_regression()
    for size in [10.0, 1000.0] * 100:
        regression.learn((1.0, size, 0.0), 5 * size, 1 / size)
    assert regression.coefficients[1] == 1.0
    assert 0 < regression.coefficients[0] <= 1000


def test_what_is_learned_passes():
    regression, rng = a_regression(), Random(1)
    for _ in range(100):
        regression.learn((1.0, 4000.0, 0.0), 4000, 0.001)
    teach(regression, rng, (7.0, 0.25, 0.25), 1000)
    assert (7, 0.25, 0.25) == pytest.approx(tuple(regression.coefficients), rel=0.3)


def test_sums_of_requests_teach_as_much_as_each_of_them():
    rng, regression = Random(2), a_regression()
    for _ in range(200):
        sizes = [rng.lognormvariate(6, 1) for _ in range(rng.randint(1, 6))]
        tokens = sum(40 + 0.4 * size for size in sizes)
        regression.learn((len(sizes), sum(sizes), 0.0), tokens, 1 / tokens, requests=len(sizes))
    assert 440 == pytest.approx(predicted(regression, (1.0, 1000.0, 0.0)), rel=0.02)
