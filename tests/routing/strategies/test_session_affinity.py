"""Session affinity."""

from collections import Counter

from tests.support.choosing import REQUEST, decided, picked
from tests.support.pods import pods_with

SESSIONS = [f"session {number}" for number in range(600)]


def pods_of_sessions(count: int) -> list[str]:
    pods = pods_with(*[0] * count)
    return [decided("session-affinity", pods, REQUEST._replace(session=session)).pod.id for session in SESSIONS]


def test_a_session_goes_to_one_pod_whatever_its_load_and_the_order_of_pods() -> None:
    pods, request = pods_with(9, 0, 3, 5), REQUEST._replace(session="mine")

    assert len(picked("session-affinity", pods, request)) == 1
    assert picked("session-affinity", pods, request) == picked("session-affinity", pods[::-1], request)
    assert decided("session-affinity", pods, request).reason == "session's of 4"


def test_sessions_spread_evenly() -> None:
    assert all(100 < count < 200 for count in Counter(pods_of_sessions(4)).values())


def test_a_pod_that_leaves_moves_only_its_own_sessions() -> None:
    five, four = pods_of_sessions(5), pods_of_sessions(4)

    assert [pod for pod in five if pod != "p4"] == [new for old, new in zip(five, four, strict=True) if old != "p4"]


def test_without_a_session_the_fewest_in_flight_win() -> None:
    assert picked("session-affinity", pods_with(2, 0, 1)) == {"p1"}
    assert decided("session-affinity", pods_with(2, 0, 1)).fallback == "no-session"
