"""The fit: the parameters come back, held-out points are predicted, and data without a fit has none."""

import pytest

from optimizer.profiles.profile import CHUNKED
from optimizer.profiling.fitting import determination, fit_page, fitted, verified
from optimizer.profiling.points import Load, Measured
from simulator.calibration.fit import not_negative_least_squares as solve
from tests.support.measured import ENGINE, a_grid, a_point, predicted

EACH = ("alpha_s", "beta_s", "gamma_s", "delta_s", "epsilon_s")


def test_the_parameters_come_back():
    loads = [Load(into, out, rate) for into in (16, 256, 1024) for out in (16, 64, 256) for rate in (1e-6, 0.2, 0.5)]

    fit = fitted(Measured(tuple(map(predicted, loads)), {"max_running": 64, "kv_tokens": 200_000}), solve)

    assert (64, 200_000, True) == (fit.max_batch, fit.kv_tokens, fit.is_chunked)
    assert {name: pytest.approx(getattr(ENGINE, name), rel=0.02) for name in EACH[:2] + EACH[3:]} == {
        name: getattr(fit, name) for name in EACH[:2] + EACH[3:]
    }
    assert ENGINE.gamma_s + ENGINE.alpha_s / 2 == pytest.approx(fit.gamma_s, rel=0.05)  # the pass under way, halved


def test_the_page_is_in_milliseconds():
    page = fit_page(ENGINE, a_grid())

    assert {"model": CHUNKED, "alpha": 20, "beta": 0.3, "gamma": 10, "delta": 0.2, "epsilon": 0.0002} == {
        name: value if name == "model" else pytest.approx(value) for name, value in list(page.items())[:6]
    }
    assert (64, 200_000.0, 1.0) == (page["max_batch"], page["kv_tokens"], pytest.approx(page["r2"]))


def test_a_fit_of_other_points_explains_less():
    doubled = tuple(a_point(p.load, 2 * p.mean("TTFT"), 2 * p.mean("TPOT")) for p in a_grid().points)

    assert determination(ENGINE, Measured(doubled)) < 0.8 < determination(ENGINE, a_grid())


def test_held_out_points_are_predicted():
    errors = verified(a_grid(), solve)

    assert (4, True) == (errors["points"], errors["largest"] < 0.1)


@pytest.mark.parametrize(
    "points",
    [
        [Load(16, 16, 0.1)],  # one length
        [Load(16, 4, 0.1), Load(64, 4, 0.1), Load(256, 4, 0.1)],  # too short for a time between tokens
    ],
)
def test_too_few_points_have_no_fit(points: list[Load]):
    assert None is fitted(Measured(tuple(map(predicted, points))), solve)
    assert None is verified(Measured(tuple(map(predicted, points))), solve)


def test_an_engine_that_does_not_stream_has_no_fit():
    points = tuple(a_point(point.load, ttft=1e-5, tpot=0.0) for point in a_grid().points)

    assert None is fitted(Measured(points), solve)
