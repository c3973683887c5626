"""Profiles: all problems at once, repairs that are told, and throughput between and beyond the measured lengths."""

import json

import pytest

from optimizer.input.reading import InputError
from optimizer.profiles.capacity import Fit, Slo
from optimizer.profiles.profile import Profile, parse_profile

GOOD = {
    "gpu": "m-a100", "cost": 1.5, "created": 1.0, "indexes": [[16, 64], [128, 512, 2048]],
    "tputs": [[40.0, 20.0, 5.0], [20.0, 10.0, 0.0]], "e2e": [[1, 1, 1], [1, 1, 1]],
    "slos": {"percentile": 99, "e2e": 5.0},
}  # fmt: skip
FIT = {"alpha": 6.973, "beta": 0.027, "gamma": 14.825, "delta": 0.001364, "max_batch": 64, "r2": 0.99}


def a_profile(**changed: object) -> Profile:
    return parse_profile(json.dumps(GOOD | changed))


def problems(**changed: object) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        a_profile(**changed)
    return caught.value.problems


def test_a_profile_of_the_first_version_is_read():
    profile = a_profile()

    assert ("m-a100", 1.5, (16, 64), (128, 512, 2048)) == (
        profile.deployment,
        profile.cost,
        profile.outputs,
        profile.inputs,
    )
    assert (Slo(e2e_s=5.0), None, ()) == (profile.slo, profile.fit, profile.repaired)


def test_a_profile_of_the_second_version_has_more():
    profile = a_profile(fit=FIT, max_model_len=4096, tput_lo=[[30, 20, 5], [20, 10, 0]], slos={"ttft": 1, "tpot": 0.05})

    assert Fit(0.006973, 0.000027, 0.014825, 0.000001364, 64) == profile.fit
    assert (Slo(1.0, 0.05), 4096.0, 30.0) == (profile.slo, profile.max_model_len, profile.throughput[0][0])


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"gpu": ""}, 'gpu = "", must be the name of the deployment'),
        ({"cost": float("nan")}, "cost = NaN, must be a number >= 0"),
        ({"cost": 1e101}, "cost = 1e+101, must be a number <= 1e+100"),
        ({"cost": True}, "cost = true, must be a number >= 0"),
        ({"tputs": [[40.0, float("nan"), 5.0], [20.0, 10.0, 0.0]]}, "tputs[0][1] = NaN, must be a number >= 0"),
        ({"tputs": [[40.0, float("inf"), 5.0], [20.0, 10.0, 0.0]]}, "tputs[0][1] = Infinity, must be a number >= 0"),
        ({"tputs": [[0, 0, 0], [0, 0, 0]]}, "tputs: all are 0, so nothing can be served"),
        ({"tputs": [[40.0, 0.0, 5.0], [20.0, 10.0, 0.0]]}, "tputs[0][1] = 0, though longer requests are served"),
        ({"tputs": [[40.0, 20.0], [20.0, 10.0]]}, "tputs must have 2 rows (output lengths) of 3 numbers"),
        ({"indexes": [[16, 64]]}, "indexes must be two lists"),
        ({"indexes": [[64, 16], [128, 512, 2048]]}, "indexes[0] must be ascending"),
        ({"indexes": [[0, 16], [128, 512, 2048]]}, "indexes[0] must be ascending"),
        ({"fit": FIT | {"max_batch": 0}}, "fit needs max_batch"),
        ({"fit": FIT | {"max_batch": 1e9}}, "fit needs max_batch, a whole number from 1 to 10000"),
        ({"fit": FIT | {"gamma": 0, "delta": 0}}, "fit needs max_batch"),
        ({"fit": {}}, "fit.alpha = null"),
        ({"fit": 3}, "fit must be an object"),
        ({"slos": 3}, "slos must be an object"),
        ({"slos": {"ttft": "1"}}, 'slos.ttft = "1"'),
    ],
)
def test_a_problem_is_named(changed: dict[str, object], named: str):
    assert any(line.startswith(named) for line in problems(**changed)), problems(**changed)


def test_all_problems_come_at_once():
    assert 3 == len(problems(gpu=1, cost=-1, tputs=[[1, 1, 1], [1, 1, "1"]]))


@pytest.mark.parametrize("text", ["{", "[]", "3", json.dumps(GOOD)[:-1] + ', "cost": 2}'])
def test_what_is_no_object_or_has_a_key_twice_is_one_problem(text: str):
    with pytest.raises(InputError) as caught:
        parse_profile(text)
    assert 1 == len(caught.value.problems)


def test_longer_requests_that_seem_faster_are_lowered_and_that_is_told():
    profile = a_profile(tputs=[[40.0, 44.0, 5.0], [20.0, 10.0, 7.0]])

    assert ((40.0, 40.0, 5.0), (20.0, 10.0, 5.0)) == profile.throughput
    assert (
        "16 output, 512 input tokens: 44 req/s counts as 40",
        "64 output, 2048 input tokens: 7 req/s counts as 5",
    ) == profile.repaired


@pytest.mark.parametrize(
    ("into", "out", "rate", "extrapolated"),
    [
        (128, 16, 40.0, False),
        (256, 16, 800**0.5, False),
        (256, 32, 20.0, False),
        (64, 8, 40.0, True),
        (128, 128, 10.0, True),
        (4096, 16, 2.5, True),
        (2048, 40, 0.0, False),
        (2048, 64, 0.0, False),
    ],
)
def test_throughput_is_interpolated_in_logarithms_and_says_when_it_lies_beyond(into, out, rate, extrapolated):
    found = a_profile().at(into, out)

    assert (pytest.approx(rate), extrapolated) == (found.rate, found.extrapolated)


def test_a_single_measured_length_serves_for_all():
    profile = a_profile(indexes=[[16], [128]], tputs=[[8.0]])

    assert [8.0, 8.0, 4.0] == [profile.at(into, 16).rate for into in (1, 128, 256)]


def test_what_does_not_fit_into_the_model_is_not_served():
    assert [40.0, 0.0] == [pytest.approx(a_profile(max_model_len=n).at(128, 16).rate) for n in (144, 143)]


def test_with_a_fit_other_targets_and_slowdowns_are_computed():
    profile = a_profile(fit=FIT, slos={"ttft": 1.0})

    assert pytest.approx(20.0) == profile.at(256, 32).rate
    tight, loose = (profile.at(256, 32, Slo(ttft_s=limit)).rate for limit in (0.05, 2.0))
    assert 0 < tight < loose
    assert profile.at(256, 32, Slo(ttft_s=2.0), slowdown=1.5).rate <= loose / 1.5
    assert profile.at(8192, 1024).extrapolated and profile.at(8192, 1024).rate > 0


def test_without_a_fit_a_slowdown_divides():
    assert pytest.approx(40.0 / 1.5) == a_profile().at(128, 16, slowdown=1.5).rate


CHUNKED = FIT | {"model": "chunked", "epsilon": 0.0001, "kv_tokens": 100_000}


def test_a_chunked_fit_tells_changes_and_the_grid_the_level():
    profile = a_profile(fit=CHUNKED, slos={"itl": 0.05})
    faster = a_profile(fit=CHUNKED, slos={"itl": 0.05}, tputs=[[80.0, 40.0, 10.0], [40.0, 20.0, 0.0]])

    assert (20.0, 40.0) == pytest.approx((profile.at(512, 16).rate, faster.at(512, 16).rate))
    for asked in ({"slowdown": 1.5}, {"slo": Slo(itl_s=0.0075)}, {"slo": Slo(ttft_s=1.0)}):
        assert 2 * profile.at(512, 16, **asked).rate == pytest.approx(faster.at(512, 16, **asked).rate)
    assert 5.0 < profile.at(512, 16, slowdown=1.5).rate < 20.0
    assert profile.at(512, 16, Slo(itl_s=0.0075)).rate < 15.0


def test_a_chunked_fit_reaches_beyond_the_grid_and_serves_nothing_that_was_not_served():
    profile = a_profile(fit=CHUNKED, slos={"itl": 0.05})

    assert 0 < profile.at(4096, 16).rate < 5.0
    assert profile.at(4096, 16).extrapolated
    assert 0.0 == profile.at(2048, 64, slowdown=1.5).rate


def test_other_slos_that_were_measured_are_read():
    classes = [{"slos": {"ttft": 1.0, "percentile": 99}, "tputs": [[30.0, 25.0, 3.0], [15.0, 0.0, 0.0]]}]
    profile = a_profile(classes=classes)

    assert 99.0 == profile.percentile
    assert (20.0, 15.0) == pytest.approx((profile.at(512, 16).rate, profile.at(128, 64, Slo(ttft_s=1.0)).rate))
    assert 25.0 == pytest.approx(profile.at(512, 16, Slo(ttft_s=1.0)).rate)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"fit": CHUNKED | {"model": "x"}}, 'fit.model = "x", must be queue or chunked'),
        ({"fit": CHUNKED | {"epsilon": "x"}}, 'fit.epsilon = "x"'),
        ({"fit": CHUNKED | {"kv_tokens": 0}}, "fit.kv_tokens = 0, must be a number > 0"),
        ({"classes": 3}, "classes must be a list of objects"),
        ({"classes": [3]}, "classes must be a list of objects"),
        ({"classes": [{"slos": {"ttft": 1}, "tputs": [[1]]}]}, "tputs must have 2 rows"),
        ({"slos": {"percentile": -1}}, "slos.percentile = -1"),
    ],
)
def test_a_problem_of_what_is_new_is_named(changed: dict[str, object], named: str):
    assert any(line.startswith(named) for line in problems(**changed)), problems(**changed)
