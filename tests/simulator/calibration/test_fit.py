import random

import pytest

from simulator.calibration.fit import Decode, Prefill, fit, least_squares, named, not_negative_least_squares
from simulator.core.speed import Chunks, LinearSpeed

SPEED = LinearSpeed(a=0.02, b=1e-4, c=2e-9, d=5e-8, e=2e-4)
OVERHEAD_S = 0.004
PASS_TOKENS = 2048


def first_token(tokens, speed=SPEED):
    """In one pass."""
    return Prefill(tokens, OVERHEAD_S + speed.pass_s(0, 0, Chunks(1, tokens, 0, tokens * (tokens + 1) // 2)))


def a_gap(sequences, length, speed=SPEED):
    return Decode(sequences, length, speed.pass_s(sequences, sequences * length))


PREFILLS = [first_token(tokens) for tokens in (64, 512, 1024, 2048)]
DECODES = [a_gap(sequences, length) for sequences in (1, 4, 16) for length in (100, 2000)]


def test_exact_measurements_give_the_coefficients_back():
    found = fit(PREFILLS, DECODES, PASS_TOKENS)

    assert pytest.approx([0.02, 1e-4, 2e-9, 5e-8, 2e-4]) == [getattr(found.speed, name) for name in "abcde"]
    assert pytest.approx(OVERHEAD_S) == found.overhead_s
    assert max(map(abs, found.errors)) < 1e-6


def test_a_prompt_longer_than_a_pass_takes_several():
    part, rest = SPEED.pass_s(0, 0, Chunks(1, 2048, 0, 2048 * 2049 // 2)), 952
    second = SPEED.pass_s(0, 0, Chunks(1, rest, 2048, rest * 2048 + rest * (rest + 1) // 2))

    found = fit([*PREFILLS, Prefill(3000, OVERHEAD_S + part + second)], DECODES, PASS_TOKENS)

    assert max(map(abs, found.errors)) < 1e-6


def test_noise_moves_predictions_no_further_than_itself():
    rng = random.Random(1)
    noisy_prefills = [Prefill(tokens, seconds * rng.uniform(0.97, 1.03)) for tokens, seconds in PREFILLS]
    noisy_decodes = [Decode(n, length, seconds * rng.uniform(0.97, 1.03)) for n, length, seconds in DECODES]

    speed = fit(noisy_prefills, noisy_decodes, PASS_TOKENS).speed

    assert pytest.approx(SPEED.pass_s(8, 8 * 1000), rel=0.05) == speed.pass_s(8, 8 * 1000)
    assert pytest.approx(first_token(1500).seconds, rel=0.05) == first_token(1500, speed).seconds


def test_no_coefficient_is_negative():
    shrinking = [Decode(n, 100, 0.02 / n) for n in (1, 4, 16)]

    speed = fit(PREFILLS, shrinking, PASS_TOKENS).speed

    assert min(getattr(speed, name) for name in "abcde") == 0


def test_too_few_measurements_are_an_error():
    with pytest.raises(ValueError, match="4 measurements, must be more than 5"):
        fit(PREFILLS, [], PASS_TOKENS)


def test_least_squares_is_exact_where_it_can_be_and_else_nearest():
    assert pytest.approx([2, 3]) == least_squares([[1, 0], [0, 1], [1, 1]], [2, 3, 5])
    assert pytest.approx([2]) == least_squares([[1.0], [1.0]], [1, 3])


def test_a_column_that_says_nothing_new_gets_nothing():
    assert pytest.approx([3, 0]) == least_squares([[1, 2], [2, 4]], [3, 6])


def test_without_negative_numbers_the_others_do_the_best_they_can():
    assert pytest.approx([0, 1.5]) == not_negative_least_squares([[1, 1], [0, 1]], [1, 2])
    assert [0] == not_negative_least_squares([[1]], [-1])


def test_coefficients_are_shown_by_name():
    assert "a 0.02, b 0.0001, c 2e-09, d 5e-08, e 0.0002" == named(SPEED)
