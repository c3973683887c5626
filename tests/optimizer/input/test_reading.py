"""Only finite numbers are numbers."""

import pytest

from optimizer.input.reading import finite


@pytest.mark.parametrize("value", [True, None, "1", [], float("nan"), float("-inf"), 10**400])
def test_everything_else_is_none(value: object):
    assert finite(value) is None


@pytest.mark.parametrize("value", [0, -1, 2.5, 1e308])
def test_numbers_are_floats(value: float):
    assert (value, float) == (finite(value), type(finite(value)))
