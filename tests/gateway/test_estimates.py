"""Estimates: the first guess, what is learned, and what it never exceeds."""

import pytest

from gateway.estimates import Estimator, PromptSize
from gateway.settings import LimitSettings


def an_estimator() -> Estimator:
    return Estimator(LimitSettings(output_tokens=256, tokens_per_byte=0.25))


def test_the_first_guess_of_a_prompt_is_a_quarter_of_its_bytes_and_token_ids_are_exact():
    assert 10 + 25 == an_estimator().prompt_tokens(PromptSize(text_bytes=100, token_ids=10))


def test_tokens_per_byte_follow_what_the_engine_reports():
    estimator = an_estimator()
    for _ in range(50):
        estimator.learn_prompt(PromptSize(1000, 0), 700)
    assert 70 == pytest.approx(estimator.prompt_tokens(PromptSize(100, 0)), abs=3)


def test_a_prompt_of_ids_teaches_nothing_about_bytes():
    estimator = an_estimator()
    estimator.learn_prompt(PromptSize(0, 100), 900)
    assert 25 == estimator.prompt_tokens(PromptSize(100, 0))


@pytest.mark.parametrize(
    ("maximum", "choices", "tokens"), [(None, 1, 256), (10, 1, 10), (100_000, 1, 256), (0, 1, 0), (10, 3, 30)]
)
def test_output_is_reserved_up_to_what_the_request_names(maximum: int | None, choices: int, tokens: int):
    assert tokens == an_estimator().output_tokens(maximum, choices)


def test_the_size_of_a_stream_tells_its_tokens_once_learned():
    estimator = an_estimator()
    assert 10 == estimator.streamed_tokens(2_150)
    for _ in range(50):
        estimator.learn_stream(10_000, 100)
    assert 20 == pytest.approx(estimator.streamed_tokens(2_000), abs=1)


def test_an_empty_stream_teaches_nothing():
    estimator = an_estimator()
    estimator.learn_stream(500, 0)
    assert 10 == estimator.streamed_tokens(2_150)


def test_one_absurd_report_does_not_price_everybody_out():
    estimator = an_estimator()
    estimator.learn_prompt(PromptSize(20, 0), 2**31 - 1)
    assert 100 > estimator.prompt_tokens(PromptSize(100, 0))
