"""Profiles from points: AIBrix's choice of a rate, several SLOs, repairs that are told, holes that are errors."""

import json

import pytest

from optimizer.input.reading import InputError
from optimizer.profiles.capacity import Slo
from optimizer.profiles.profile import parse_profile
from optimizer.profiling.making import Made, Wanted, made
from optimizer.profiling.points import Load, Measured, Point
from optimizer.profiling.targets import Targets
from simulator.calibration.fit import not_negative_least_squares as solve
from tests.support.measured import a_grid, a_point

SLO = Targets(ttft=1.0)


def of(*points: Point, targets: Targets = SLO, classes: tuple[Targets, ...] = (), **about: object) -> Made:
    return made(Measured(points, about), Wanted("m-l20", 1.5, targets, classes, {"by": "test"}), 7.0, solve)


def rates(*ttfts: float, into: int = 16, out: int = 8, served: float = 1.0) -> list[Point]:
    """Points at 1, 2, 4, ... requests per second with these TTFTs; at the last one only a part is served."""
    loads = [Load(into, out, 2.0**n) for n in range(len(ttfts))]
    points = [a_point(load, ttft) for load, ttft in zip(loads, ttfts, strict=True)]
    return [*points[:-1], a_point(loads[-1], ttfts[-1], tput=served * loads[-1].rate)]


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (rates(0.1, 0.5, 0.9, 1.1), 4.0),  # the highest that keeps the SLO
        (rates(0.1, 1.2, 0.9), 4.0),  # also above one that does not
        (rates(0.1, 0.2, 0.3, served=0.8), 2.0),  # not one at which a backlog grows
        (rates(0.1, served=0.8), 0.8),  # unless there is no other
    ],
)
def test_the_rate_is_the_highest_inside_the_slo(points: list[Point], expected: float):
    found = of(*points)

    assert [[expected]] == found.page["tputs"]
    assert [[0.1 + 0.2 * (expected > 1)]] != found.page["ttft"] or expected < 4


def test_the_fields_are_those_of_aibrix_and_ours_and_are_read():
    page = of(*a_grid().points, classes=(Targets(ttft=0.3, percentile=90),), max_running=64, max_model_len=4096).page

    assert ("m-l20", 1.5, 7.0, [[16, 64], [16, 256, 1024]]) == tuple(
        page[name] for name in ("gpu", "cost", "created", "indexes")
    )
    assert {"percentile": 0.0, "ttft": 1.0} == page["slos"]
    assert [(2, 3)] * 4 == [(len(page[name]), len(page[name][0])) for name in ("tputs", "e2e", "ttft", "tpot")]
    profile = parse_profile(json.dumps(page))
    assert (4096, Slo(ttft_s=1.0), True) == (profile.max_model_len, profile.slo, profile.fit.is_chunked)
    assert ([Slo(ttft_s=0.3)], 64) == ([slo for slo, _ in profile.classes], profile.fit.max_batch)


def test_a_closed_loop_is_never_the_rate():
    found = of(a_point(Load(16, 8, 9.0, 8)), *rates(0.1, 0.2))

    assert [[2.0]] == found.page["tputs"]


def test_lengths_that_keep_no_slo_have_0_and_the_latency_of_the_lowest_rate():
    page = of(*rates(0.1, 0.2), *rates(3.0, 4.0, into=1024)).page

    assert ([[2.0, 0.0]], [[0.2, 3.0]]) == (page["tputs"], page["ttft"])


def test_longer_requests_are_nowhere_faster_and_the_note_says_so():
    found = of(*rates(0.1, 0.2), *rates(0.1, 0.2, 0.3, into=64), *rates(0.1, 0.2, into=256))

    assert [[2.0, 2.0, 2.0]] == found.page["tputs"]
    assert any(note.startswith("8 output, 64 input tokens: 4 req/s counts as 2") for note in found.notes)


def test_what_longer_requests_keep_shorter_ones_keep():
    found = of(*rates(3.0), *rates(0.1, 0.2, into=64))

    assert [[2.0, 2.0]] == found.page["tputs"]
    assert any(note.startswith("8 output, 16 input tokens: 0 req/s counts as 2") for note in found.notes)
    assert parse_profile(json.dumps(found.page))


def test_lower_bounds_come_with_the_errors_of_the_means():
    page = of(a_point(Load(16, 8, 2.0), ttft=0.5, stderr=0.1), a_point(Load(64, 8, 2.0), ttft=5.0, stderr=0.1)).page

    assert [[pytest.approx(2.0 / 1.1645), 0.0]] == page["tput_lo"]
    assert "tput_lo" not in of(*rates(0.1)).page


def test_holes_of_the_grid_are_an_error_but_for_lengths_that_do_not_fit():
    corner = [*rates(0.1), *rates(0.1, into=4096), *rates(0.1, out=1024)]

    with pytest.raises(InputError, match="holes, not measured: 1024 output, 4096 input tokens"):
        of(*corner)
    assert 0.0 == of(*corner, max_model_len=4200).page["tputs"][1][1]


def test_an_slo_that_nothing_keeps_is_an_error():
    with pytest.raises(InputError, match=r"no measured rate keeps the SLO percentile = 0, ttft = 0\.01"):
        of(*rates(0.1), targets=Targets(ttft=0.01))
