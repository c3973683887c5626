"""States of strategies, there and back."""

import json

import msgspec
import pytest

from autoscaling.states import dumped, loaded


class Held(msgspec.Struct, forbid_unknown_fields=True):
    windows: dict[str, list[tuple[float, float]]]
    since_s: float | None = None


def test_a_state_comes_back_through_json():
    held = Held({"a": [(1.0, 2.5)]}, 3.0)

    assert held == loaded(Held, json.loads(json.dumps(dumped(held))), "a test")


@pytest.mark.parametrize("state", [{}, {"windows": 3}, {"windows": {}, "more": 1}])
def test_anything_else_is_refused(state: dict[str, object]):
    with pytest.raises(ValueError, match="no state of a test"):
        loaded(Held, state, "a test")
