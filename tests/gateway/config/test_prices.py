"""Prices of tokens."""

import pytest
from pydantic import ValidationError

from gateway.config.prices import PriceSettings


def test_cached_tokens_have_the_price_of_others_unless_it_is_said() -> None:
    assert PriceSettings(input=1.0).cached_input is None
    assert PriceSettings(input=1.0, cached_input=0.0).cached_input == 0.0


@pytest.mark.parametrize("price", ["NaN", float("nan"), -1, 1e9, True, None])
def test_what_is_no_price_is_refused(price: object) -> None:
    with pytest.raises(ValidationError):
        PriceSettings.model_validate({"input": price})
