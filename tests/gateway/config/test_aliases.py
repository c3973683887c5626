"""The section `aliases`."""

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config.aliases import AliasSettings


def test_a_target_has_weight_1_and_sessions_stick() -> None:
    alias = AliasSettings.model_validate({"name": "a", "targets": [{"model": "m"}]})

    assert (1, "session", ()) == (alias.targets[0].weight, alias.sticky, alias.fallbacks)


@pytest.mark.parametrize(
    "value",
    [
        {"targets": []},
        {"name": ""},
        {"sticky": "sometimes"},
        {"targets": [{"model": "m", "weight": 0}]},
        {"targets": [{"model": "m", "weight": 0.5}]},
        {"fallbacks": [""]},
    ],
)
def test_what_splits_nothing_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AliasSettings.model_validate({"name": "a", "targets": [{"model": "m"}]} | value)
