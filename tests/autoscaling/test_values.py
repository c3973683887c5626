"""Checks of single values: problems have the path, the value and the rule."""

from autoscaling.values import Values


def test_good_values_come_back_and_leave_no_problems():
    values = Values()

    assert ({"a": 1}, [1], "x", 5) == (
        values.mapping("m", {"a": 1}),
        values.items("i", [1]),
        values.text("t", "x"),
        values.count("c", 5, 0),
    )
    assert [] == values.problems


def test_bad_values_are_problems_and_reading_goes_on():
    values = Values()

    assert ({}, [], "", 1) == (
        values.mapping("m", 3),
        values.items("i", None),
        values.text("t", ""),
        values.count("c", 2**31, 1),
    )
    values.known("k", {"wrod": 1}, ("word", "sword"))
    assert [
        "m = 3, must be a mapping",
        "i = nothing, must be a list",
        "t = , must be text",
        "c = 2147483648, must be > 0 and a whole number",
        "k.wrod is not known; the nearest is word",
    ] == values.problems


def test_a_long_value_is_cut_and_is_one_line():
    values = Values()

    values.problem("p", "x\n" * 100, "must be short")

    assert f"p = {'x ' * 30}..., must be short" == values.problems[0]
