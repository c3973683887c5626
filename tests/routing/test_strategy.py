"""What strategies are told."""

import pytest

from routing.strategy import Finished, Started
from routing.types import RouteRequest


def test_what_was_not_seen_of_a_finished_request_is_unknown_and_not_zero() -> None:
    finished = Finished("a", RouteRequest("m"), now_s=1.0, failed=True)

    unseen = (finished.duration_s, finished.first_byte_s, finished.input_tokens, finished.output_tokens)

    assert unseen == (None, None, None, None)


def test_events_cannot_be_changed_by_a_strategy_that_sees_them() -> None:
    started = Started("a", RouteRequest("m"), now_s=1.0)

    with pytest.raises(AttributeError):
        started.pod = "b"  # type: ignore[misc]  # the point of the test
