"""Estimates: the prior, what is learned, and what it never exceeds."""

import pytest

from gateway.accounting.estimates import (
    MAX_TEMPLATE_TOKENS,
    MAX_USER_HISTOGRAMS,
    MIN_OBSERVATIONS,
    Estimator,
    OutputBounds,
    PromptSize,
)
from gateway.config.limits import LimitSettings


def an_estimator() -> Estimator:
    return Estimator(LimitSettings(output_tokens=256, tokens_per_byte=0.25))


def test_the_prior_of_a_prompt_is_a_quarter_of_its_bytes_and_a_template_and_token_ids_are_exact():
    estimator = an_estimator()
    assert 10 + 25 + MAX_TEMPLATE_TOKENS == estimator.prompt_tokens(PromptSize(text_bytes=100, token_ids=10))
    assert 10 == estimator.prompt_tokens(PromptSize(text_bytes=0, token_ids=10))


def test_tokens_per_byte_follow_what_the_engine_reports():
    estimator = an_estimator()
    for _ in range(50):
        estimator.learn_prompt(PromptSize(1000, 0), 700)
    assert 700 <= estimator.prompt_tokens(PromptSize(1000, 0)) <= 900


def test_what_a_template_adds_to_short_prompts_is_learned():
    estimator = an_estimator()
    for number in range(200):
        size = 20 if number % 2 else 4000
        estimator.learn_prompt(PromptSize(size, 0), size // 4 + 7)
    assert 12 <= estimator.prompt_tokens(PromptSize(20, 0)) <= 16
    assert 1007 <= estimator.prompt_tokens(PromptSize(4000, 0)) <= 1020


def test_a_prompt_of_ids_teaches_nothing_about_bytes():
    estimator = an_estimator()
    estimator.learn_prompt(PromptSize(0, 100), 900)
    assert 25 + MAX_TEMPLATE_TOKENS == estimator.prompt_tokens(PromptSize(100, 0))


@pytest.mark.parametrize(
    ("maximum", "choices", "tokens"),
    [(None, 1, 256), (10, 1, 10), (1000, 1, 1000), (100_000, 1, 4096), (0, 1, 0), (10, 3, 30)],
)
def test_output_is_reserved_up_to_what_the_request_names(maximum: int | None, choices: int, tokens: int):
    assert tokens == an_estimator().output_tokens(OutputBounds(maximum, choices), "u")


def test_events_carry_as_many_tokens_as_was_learned():
    estimator = an_estimator()
    assert 10 == estimator.chunk_tokens(10)
    for _ in range(50):
        estimator.learn_chunks(25, 100)
        estimator.learn_chunks(25, 2**31 - 1)
    assert 40 == pytest.approx(estimator.chunk_tokens(10), abs=1)


@pytest.mark.parametrize("absurd", [2**31 - 1, 100_000, 1])
def test_what_no_text_can_have_teaches_nothing(absurd: int):
    estimator = an_estimator()
    for _ in range(100):
        estimator.learn_prompt(PromptSize(8000, 0), absurd)
    assert 2000 + MAX_TEMPLATE_TOKENS == estimator.prompt_tokens(PromptSize(8000, 0))


@pytest.mark.parametrize("reported", [64, 8000, 9000])
def test_what_is_learned_is_bounded_and_corrects_itself(reported: int):
    estimator, size = an_estimator(), PromptSize(8000, 0)
    for _ in range(300):
        estimator.learn_prompt(PromptSize(reported, 0), reported)
    assert 125 <= estimator.prompt_tokens(size) <= 1.5 * 9024
    for _ in range(1000):
        estimator.learn_prompt(size, 2010)
    assert 2010 == pytest.approx(estimator.prompt_tokens(size), rel=0.05)


def test_a_prompt_of_a_megabyte_does_not_decide_for_all():
    estimator, size = an_estimator(), PromptSize(2000, 0)
    for number in range(300):
        estimator.learn_prompt(size, 510)
        if number % 100 == 99:
            estimator.learn_prompt(PromptSize(10_000_000, 0), 10_000_000)
    assert 510 == pytest.approx(estimator.prompt_tokens(size), rel=1)


def test_scripts_are_told_apart_by_the_bytes_of_their_characters():
    estimator = an_estimator()
    english, chinese = PromptSize(4000, 0), PromptSize(3000, 0, extra_bytes=2000)
    for _ in range(100):
        estimator.learn_prompt(english, 1010)
        estimator.learn_prompt(chinese, 810)
    assert [1010, 810] == pytest.approx([*map(estimator.likely_prompt_tokens, (english, chinese))], rel=0.02)


def test_pictures_teach_nothing_about_text_but_what_pictures_cost():
    estimator = an_estimator()
    picture, text = PromptSize(40, 0, media_tokens=1000), PromptSize(8000, 0)
    before = estimator.prompt_tokens(text)
    for _ in range(300):
        estimator.learn_prompt(picture, 2050)
    assert before == estimator.prompt_tokens(text)
    assert 2050 == pytest.approx(estimator.prompt_tokens(picture), rel=0.02)


@pytest.mark.parametrize(("reported", "scale"), [(2**31 - 1, 16), (0, 1 / 16)])
def test_what_a_picture_costs_is_bounded(reported: int, scale: float):
    estimator = an_estimator()
    for _ in range(1000):
        estimator.learn_prompt(PromptSize(0, 0, media_tokens=1000), reported)
    assert 1000 * scale == pytest.approx(estimator.likely_prompt_tokens(PromptSize(0, 0, media_tokens=1000)), rel=0.1)


FREE = OutputBounds(None, 1)


def taught(*lengths: int, user: str = "u", bounds: OutputBounds = FREE) -> Estimator:
    estimator = an_estimator()
    for length in lengths:
        estimator.learn_output(bounds, user, length)
    return estimator


def test_the_prior_is_used_until_there_were_enough_answers():
    assert 256 == taught(*[40] * (MIN_OBSERVATIONS - 1)).output_tokens(FREE, "u")
    assert 45 == taught(*[40] * MIN_OBSERVATIONS).output_tokens(FREE, "u")


def test_what_is_reserved_is_a_length_that_nine_of_ten_answers_do_not_exceed():
    estimator = taught(*range(1, 101))
    assert 90 <= estimator.output_tokens(FREE, "u") <= 90 * 1.19 + 1


def test_each_user_has_lengths_of_its_own_and_a_new_one_has_those_of_the_model():
    estimator = taught(*[1000] * 50, user="long")
    for _ in range(50):
        estimator.learn_output(FREE, "short", 10)

    assert 1000 <= estimator.output_tokens(FREE, "long") <= 1190
    assert 10 <= estimator.output_tokens(FREE, "short") <= 12
    assert 1000 <= estimator.output_tokens(FREE, "new") <= 1190


def test_learned_lengths_never_exceed_the_maximum_and_count_for_each_choice():
    estimator = taught(*[400] * 20, bounds=OutputBounds(None, 2))
    assert 3 * 200 <= estimator.output_tokens(OutputBounds(None, 3), "u") <= 3 * 238
    estimator = taught(*[40] * 20, bounds=OutputBounds(1000, 1))
    assert 40 <= estimator.output_tokens(OutputBounds(600, 1), "u") <= 45
    assert 3 * 20 == estimator.output_tokens(OutputBounds(20, 3), "u")


def test_answers_under_maxima_of_another_magnitude_teach_nothing_about_these():
    estimator = taught(*[1] * 100, bounds=OutputBounds(1, 1))
    assert (256, 300) == (estimator.output_tokens(FREE, "u"), estimator.output_tokens(OutputBounds(300, 1), "u"))


def test_where_answers_are_cut_at_their_maximum_all_of_it_is_reserved():
    estimator = taught(*[300] * 100, bounds=OutputBounds(300, 1))
    assert 500 == estimator.output_tokens(OutputBounds(500, 1), "u")


def test_operations_without_output_teach_nothing():
    assert 256 == taught(*[0] * 100, bounds=OutputBounds(0, 1)).output_tokens(FREE, "u")


def test_of_many_users_the_latest_are_remembered():
    estimator = an_estimator()
    for number in range(MAX_USER_HISTOGRAMS + 5):
        estimator.learn_output(FREE, f"u{number}", 7)
    estimator.learn_output(FREE, "u5", 7)
    estimator.learn_output(FREE, "one-more", 7)

    users = {user for user, _ in estimator._lengths if user}
    assert MAX_USER_HISTOGRAMS == len(users)
    assert ("u5" in users, "u6" in users) == (True, False)


def test_anonymous_answers_teach_the_model():
    assert 45 == taught(*[40] * 20, user="").output_tokens(FREE, "new")


def test_the_bound_of_a_prompt_is_its_bytes_its_media_at_their_largest_and_a_template():
    estimator = Estimator(LimitSettings(template_tokens=32))

    assert 100 + 20 + 32 == estimator.most_prompt_tokens(PromptSize(100, 20))
    assert 20 == estimator.most_prompt_tokens(PromptSize(0, 20))
    assert 100 + 16_000 + 32 == estimator.most_prompt_tokens(PromptSize(100, 0, media_tokens=1000))
    assert 100 + 50 + 32 == estimator.most_prompt_tokens(PromptSize(100, 0, repeated_bytes=50))


def test_the_bound_grows_when_an_engine_reports_more_and_never_beyond_what_a_template_adds():
    estimator = Estimator(LimitSettings(template_tokens=32))

    for reported, template in ((50, 40), (30, 40), (10**6, 1024)):
        estimator.learn_prompt(PromptSize(10, 0), reported)
        assert 100 + template == estimator.most_prompt_tokens(PromptSize(100, 0))
