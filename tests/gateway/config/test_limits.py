"""The section `limits`: absurd values are refused."""

import pytest
from pydantic import ValidationError

from gateway.config.limits import LimitSettings


@pytest.mark.parametrize("tokens", [-1, 0.5, 100_000_001])
def test_tokens_of_a_template_are_a_whole_number(tokens: object):
    with pytest.raises(ValidationError, match="template_tokens"):
        LimitSettings.model_validate({"template_tokens": tokens})
