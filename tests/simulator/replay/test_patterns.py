"""Made-up traffic by patterns: how many arrive when."""

from itertools import pairwise
from random import Random
from statistics import mean, pvariance

import pytest

from simulator.replay.patterns import TokenRange, generate, parse_pattern, parse_tokens

SHORT = TokenRange(5, 5)


def times(text: str, *, is_even: bool = True, seed: int = 0) -> list[float]:
    steps = parse_pattern(text)
    return [each.timestamp / 1000 for each in generate(steps, SHORT, SHORT, Random(seed), is_even=is_even)]


def rate(arrivals: list[float], begin_s: float, end_s: float) -> float:
    return sum(begin_s <= at_s < end_s for at_s in arrivals) / (end_s - begin_s)


def test_steps_follow_one_another_at_even_distances():
    assert [0, 0.5, 1, 1.5, 2, 2.25, 2.5, 2.75, 5] == times("2x2,4x1,0x2,1x1")


def test_a_wave_begins_low_and_keeps_its_mean():
    arrivals = times("wave:mean=6,amplitude=0.5,period=200,for=400")

    assert 2400 == len(arrivals)
    assert [3.0, 9.0, 3.0] == pytest.approx([rate(arrivals, at, at + 10) for at in (0, 95, 195)], abs=0.2)


def test_a_day_goes_from_low_to_high_and_back():
    arrivals = times("day:low=1,high=9,for=1000")

    assert [1.0, 9.0, 1.0] == pytest.approx([rate(arrivals, at, at + 20) for at in (0, 490, 980)], abs=0.15)


def test_a_step_and_bursts_are_where_they_are_said_to_be():
    step = times("step:low=2,high=8,at=10,until=20,for=40")
    bursts = times("bursts:low=1,high=4,length=10,every=50,for=100")

    assert [2, 8, 2, 2] == [rate(step, at, at + 10) for at in (0, 10, 20, 30)]
    assert [1, 4, 1, 4] == [rate(bursts, *each) for each in ((0, 40), (40, 50), (50, 90), (90, 100))]


def test_poisson_arrivals_vary_as_poisson_arrivals_do_and_the_same_for_the_same_seed():
    arrivals = times("5x4000", is_even=False)
    gaps = [after - before for before, after in pairwise(arrivals)]

    assert mean(gaps) == pytest.approx(0.2, rel=0.03)
    assert pvariance(gaps) == pytest.approx(0.04, rel=0.06)  # an exponential's is the square of its mean
    assert arrivals == times("5x4000", is_even=False)
    assert arrivals != times("5x4000", is_even=False, seed=1)


def test_lengths_are_fixed_or_spread():
    requests = generate(parse_pattern("5x400"), parse_tokens("7"), parse_tokens("10-30"), Random(1), is_even=True)
    answers = {each.output_length for each in requests}

    assert {7} == {each.input_length for each in requests}
    assert (10, 30, 21) == (min(answers), max(answers), len(answers))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' must be RATExSECONDS"),
        ("2x330,fast", "'fast' must be RATExSECONDS"),
        ("2x-3", "must have a rate >= 0 and seconds > 0"),
        ("nanx30", "must have a rate >= 0 and seconds > 0"),
        ("0x30", "0 requests in 30 s, must be 1 to"),
        ("1e9x30", "must be 1 to 2000000"),
        ("1x9e9", "requests in 9000000000 s"),
        ("tide:mean=3", "'tide' must be one of: wave, day, step, bursts"),
        ("wave:mean=much", "'mean=much' must be key=number"),
        ("wave:height=3", "'height=3' must be a number >= 0 of one of: mean, amplitude, period, for"),
        ("wave:amplitude=nan", "'amplitude=nan' must be a number >= 0"),
        ("wave:amplitude=2", "amplitude must be from 0 to 1"),
        ("wave:period=0", "period above 0"),
        ("wave:for=1e12", "for = 1e+12, must be at most"),
        ("step:at=20,until=10", "must have at <= until <= for"),
        ("bursts:length=0", "length must be at least 1"),
    ],
)
def test_what_is_no_pattern_says_why(text: str, message: str):
    with pytest.raises(ValueError) as error:
        parse_pattern(text)

    assert message in str(error.value)


@pytest.mark.parametrize("text", ["", "many", "5-", "9-3", "0", "-4", "1e3", "99999999999"])
def test_what_is_no_length_says_why(text: str):
    with pytest.raises(ValueError, match="tokens = "):
        parse_tokens(text)
