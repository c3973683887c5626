"""The section `scale_from_zero`."""

import pytest
from pydantic import ValidationError

from gateway.config.from_zero import LONGEST_WAIT_S, ScaleFromZeroSettings


@pytest.mark.parametrize("value", [{"longest_wait_s": LONGEST_WAIT_S}, {"longest_wait_s": 0}, {"most_waiting": 0}])
def test_bounds_may_be_zero_and_as_long_as_envoy_waits(value: dict[str, float]) -> None:
    assert value == ScaleFromZeroSettings.model_validate(value).model_dump(exclude_unset=True)


@pytest.mark.parametrize(
    "value",
    [{"longest_wait_s": LONGEST_WAIT_S + 1}, {"longest_wait_s": -1}, {"most_waiting": -1}, {"most_waiting": True}],
)
def test_what_envoy_would_not_wait_for_is_refused(value: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        ScaleFromZeroSettings.model_validate(value)
