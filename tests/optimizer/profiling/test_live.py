"""Profiles from running pods: the fit of a page, the points that it predicts, pages that are none."""

import json

import pytest

from optimizer.input.reading import InputError
from optimizer.profiles.capacity import Fit, Slo, capacity
from optimizer.profiling.live import fit_of, predicted
from optimizer.profiling.making import Wanted, made
from optimizer.profiling.targets import Targets
from simulator.calibration.fit import not_negative_least_squares as solve

FIT = Fit(0.025, 0.0, 0.02, 0.0003, 12, kv_tokens=200_000.0, is_chunked=True)
CELLS = [(out, into) for out in (16, 128) for into in (64, 256, 1024)]


def a_pod(name: str, *, known: bool = True, in_flight: int = 3, running: float | None = None, output_s: float = 0.025):
    speed = {"known": known, "fixed_s": 0.02, "token_s": 0.0003, "output_s": output_s}
    return {
        "pod": name,
        "speed": speed,
        "in_flight": in_flight,
        "signals": {"running": running, "cache_tokens": 200_000},
    }


def a_page(*pods: object) -> bytes:
    return json.dumps(pods).encode()


def test_the_fit_is_the_middle_of_the_pods_and_the_highest_load_that_was_seen():
    pods = [a_pod("ns/m-l20-1", output_s=0.024), a_pod("m-l20-2"), a_pod("m-l20-3", output_s=0.09, running=12.0)]
    other = [a_pod("m-l200-1", in_flight=99), a_pod("m-l20-4", known=False, in_flight=99)]

    assert FIT == fit_of([a_page(*pods, *other), a_page(*pods)], "m-l20")


@pytest.mark.parametrize(
    ("page", "named"),
    [
        (b"<html>", "no JSON"),
        (b'{"error": 1}', "the page is not that of a gateway's /debug/fleet"),
        (a_page(), "m-l20: has no pods; there are: none"),
        (a_page(a_pod("m-v100-1")), "m-l20: has no pods; there are: m-v100-1"),
        (a_page(a_pod("m-l20-1", known=False)), "m-l20: speeds are not known yet"),
        (a_page(a_pod("m-l20-1", output_s=float("nan"))), "output_s = NaN"),
    ],
)
def test_a_page_that_tells_nothing_is_an_error(page: bytes, named: str):
    with pytest.raises(InputError, match=named):
        fit_of([page], "m-l20")


def test_the_profile_has_the_knees_of_the_fit():
    slos = (Targets(ttft=0.5, itl=0.05), Targets(ttft=0.2))

    page = made(predicted(FIT, CELLS, slos), Wanted("m-l20", 1.0, slos[0], slos[1:]), 0.0, solve).page

    expected = [[capacity(FIT, into, out, Slo(0.5, 0.05)) for into in (64, 256, 1024)] for out in (16, 128)]
    assert [pytest.approx(row, rel=0.01) for row in expected] == page["tputs"]
    assert 0.0 == page["classes"][0]["tputs"][0][2]  # the prompt alone takes longer
    assert (12, 200_000) == (page["fit"]["max_batch"], page["fit"]["kv_tokens"])
    assert 0.025 == pytest.approx(page["fit"]["alpha"] / 1000, rel=0.05)


def test_percentiles_are_not_known():
    slo = Targets(ttft=0.5, percentile=90)

    with pytest.raises(InputError, match="percentile = 90: TTFT has none"):
        made(predicted(FIT, CELLS, (slo,)), Wanted("m-l20", 1.0, slo), 0.0, solve)
