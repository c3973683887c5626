"""Bundled profiles are there, can be read, plan, and are what `make profiles` makes."""

import json

import pytest

from forebay.profiling.grid import Grid, Known
from forebay.profiling.model_meter import about, model_meter
from forebay.profiling.running import measure_all
from optimizer.input.reading import InputError
from optimizer.profiles.capacity import Slo
from optimizer.profiles.profile import parse_profile
from optimizer.profiling.bundled import bundled, names
from optimizer.profiling.making import Wanted, made
from optimizer.profiling.points import Measured
from optimizer.profiling.steady import Span
from optimizer.profiling.targets import Targets
from simulator.calibration.fit import not_negative_least_squares
from simulator.core.gpus import GPUS

SLO, CLASS = Targets(ttft=2.0, itl=0.1), Targets(ttft=2.0, itl=0.05)


def test_every_gpu_with_a_data_sheet_has_one():
    assert sorted(GPUS.keys() - {"published-fit"}) == names()


@pytest.mark.parametrize("name", names())
def test_each_is_read_and_has_what_plans_need(name: str):
    profile = parse_profile(bundled(name))

    assert (name, Slo(ttft_s=2.0, itl_s=0.1), [Slo(ttft_s=2.0, itl_s=0.05)]) == (
        profile.deployment,
        profile.slo,
        [slo for slo, _ in profile.classes],
    )
    assert 0.95 < json.loads(bundled(name))["fit"]["r2"] <= 1
    assert 0 < profile.at(500, 200, slowdown=1.5).rate < profile.at(500, 200).rate
    assert profile.at(500, 200, Slo(ttft_s=3.0, itl_s=0.2)).rate > profile.at(500, 200).rate


def test_faster_gpus_carry_more():
    rates = {name: parse_profile(bundled(name)).at(300, 200).rate for name in names()}

    assert rates["L4"] < rates["A10"] < rates["L20"] < rates["A100"] < rates["H100"]
    assert rates["V100"] < rates["L20"]


@pytest.mark.parametrize("name", ["L20", "V100"])
async def test_each_is_what_the_command_makes(name: str):
    """The longest lengths take most of the time; the others suffice to see that code and files agree."""
    page, meter, known = json.loads(bundled(name)), model_meter(name, Span(200)), Known()
    rows, columns = page["indexes"]

    await measure_all(meter, Grid(columns[:4], rows[:3], slos=(SLO, CLASS), max_model_len=meter.max_model_len), known)
    again = made(
        Measured(known.points(), about(name, meter)), Wanted(name, 1.0, SLO, (CLASS,)), 0.0, not_negative_least_squares
    ).page

    assert [row[:4] for row in page["tputs"][:3]] == [pytest.approx(row, rel=0.02) for row in again["tputs"]]
    assert [row[:4] for row in page["ttft"][:3]] == [pytest.approx(row, rel=0.02) for row in again["ttft"]]


def test_a_name_that_is_none_is_an_error_with_all_names():
    with pytest.raises(
        InputError, match="L21: is neither a file nor a bundled profile: A10, A100, H100, L20, L4, V100"
    ):
        bundled("L21")
