import pytest

from gateway.openai.errors import BadRequestError
from gateway.openai.fields import MAX_COUNT, check_number, count, field_error, flag, is_integer, required_text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "missing"),
        (True, "true"),
        (-1, "-1"),
        (1.5, "1.5"),
        ("", "an empty string"),
        ([], "an empty list"),
        ([1], "a list"),
        ({}, "an object"),
    ],
)
def test_a_refusal_names_field_value_and_rule(value, shown):
    error = field_error("n", value, "must be so")

    assert f"n = {shown}, must be so" == error.message
    assert "n" == error.param


def test_a_refusal_never_repeats_text_of_the_client():
    assert "secret" not in field_error("prompt", "secret", "must be a list").message


@pytest.mark.parametrize(("value", "expected"), [(True, True), (False, False), (None, False)])
def test_a_flag_may_be_null(value, expected):
    assert expected is flag({"stream": value}, "stream")
    assert flag({}, "stream") is False


@pytest.mark.parametrize("value", [0, 1, "true", [], {}])
def test_a_flag_is_a_boolean_and_nothing_like_one(value):
    with pytest.raises(BadRequestError) as refused:
        flag({"b": value}, "b", inside="a.")
    assert "a.b" == refused.value.param


@pytest.mark.parametrize(("value", "expected"), [(1, 1), (7.0, 7), (MAX_COUNT, MAX_COUNT), (None, None)])
def test_a_count_is_an_integer(value, expected):
    result = count({"n": value}, "n")

    assert expected == result
    assert not isinstance(result, float)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, False, "5", [], {}, MAX_COUNT + 1, 2.0**64, 1e308, -1e308])
def test_a_count_out_of_range_or_of_another_type_is_refused(value):
    with pytest.raises(BadRequestError, match="must be an integer from 1 to 2147483647"):
        count({"n": value}, "n")


def test_a_count_may_start_at_zero_where_that_means_something():
    assert 0 == count({"n": 0}, "n", minimum=0)


@pytest.mark.parametrize("value", [None, 0, -1.5, 1e300])
def test_a_number_may_be_any_number(value):
    check_number({"temperature": value}, "temperature")


@pytest.mark.parametrize("value", [True, "1", [], {}])
def test_a_number_is_not_a_boolean_or_a_string(value):
    with pytest.raises(BadRequestError, match=r"temperature = .*, must be a number"):
        check_number({"temperature": value}, "temperature")


@pytest.mark.parametrize("value", [None, "", 3, ["m"], True])
def test_a_required_text_is_a_string_with_something_in_it(value):
    assert "m" == required_text({"model": "m"}, "model")
    with pytest.raises(BadRequestError, match="must be a non-empty string"):
        required_text({"model": value}, "model")


def test_integers_may_be_written_as_doubles():
    assert [True, True, False, False, False] == [is_integer(value) for value in (2, 2.0, 2.5, True, "2")]
