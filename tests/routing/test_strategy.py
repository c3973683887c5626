"""The event that strategies learn from."""

import pytest

from routing.strategy import Finished
from routing.types import RouteRequest


def test_what_was_not_observed_of_a_finished_request_is_unknown_and_not_zero() -> None:
    finished = Finished("a", RouteRequest("m"), now_s=1.0, failed=True)

    unseen = (finished.duration_s, finished.first_byte_s, finished.input_tokens, finished.output_tokens)

    assert unseen == (None, None, None, None)


def test_events_cannot_be_changed_by_a_strategy_that_sees_them() -> None:
    finished = Finished("a", RouteRequest("m"), now_s=1.0, failed=False)

    with pytest.raises(AttributeError):
        finished.pod = "b"  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(("tokens", "cost"), [((10, 5), 25.0), ((10, None), 10.0), ((None, None), 0.0)])
def test_an_output_token_costs_more_than_an_input_token(tokens: tuple[int | None, int | None], cost: float) -> None:
    finished = Finished("a", RouteRequest("m"), 1.0, False, input_tokens=tokens[0], output_tokens=tokens[1])

    assert finished.cost(output_weight=3.0) == cost
