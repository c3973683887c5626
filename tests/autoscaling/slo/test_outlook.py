"""The outlook: pods that become ready, and the queue that so many replicas leave."""

from hypothesis import given
from hypothesis import strategies as st

from autoscaling.slo.flight import Flight
from autoscaling.slo.outlook import Capacity, Outlook, Pods
from autoscaling.slo.service import Curve

TEN_AT_ONCE = Capacity(Curve(10.0, 10, 0.0), 10.0)
"""One request per second."""


def an_outlook(
    demand: list[float],
    *,
    running: float = 0,
    waiting: float = 0,
    ready: int = 2,
    remaining_s: tuple[float, ...] = (),
    startup_s: float = 30.0,
) -> Outlook:
    flight = Flight()
    flight.match(running)
    return Outlook(flight, waiting, Pods(ready, remaining_s, startup_s), demand)


def fewest(outlook: Outlook, capacity: Capacity = TEN_AT_ONCE, most: int = 20) -> int:
    return outlook.enough(1, most, capacity, longest_queue=1.0, tolerance=0.5)


def test_pods_are_ready_when_they_were_ordered_to_be():
    pods = Pods(2, [10.0, 20.0], 60.0)

    assert [2, 3, 4, 5] == [pods.ready_after(5, seconds) for seconds in (0, 10, 20, 60)]
    assert [2, 3, 3] == [pods.ready_after(3, seconds) for seconds in (0, 10, 60)]
    assert 1 == pods.ready_after(1, 60)


def test_steady_demand_needs_its_share_of_pods():
    assert 5 == fewest(an_outlook([5.0] * 24, running=50, ready=5))


def test_free_places_take_a_short_rise():
    assert 3 == fewest(an_outlook([2.0] * 12 + [3.0] * 2 + [2.0] * 10, running=20, ready=4))


def test_pods_that_start_count_from_when_they_are_ready():
    growing = [4.0] * 6 + [6.0] * 10

    assert 6 == fewest(an_outlook(growing, running=40, ready=4, remaining_s=(30.0, 30.0)))


def test_a_queue_that_nothing_can_help_now_is_worth_pods_that_end_it_soon():
    assert 6 < fewest(an_outlook([4.0] * 24, running=20, waiting=200, ready=2))


def test_a_service_time_of_less_than_a_slot_has_its_full_capacity():
    fast = Capacity(Curve(0.5, 10, 0.0), 10.0)

    assert 2 == fewest(an_outlook([39.0] * 24, running=19, ready=2), fast)
    assert 3 == fewest(an_outlook([43.0] * 24, running=20, ready=2, startup_s=0.0), fast)


@given(
    st.lists(st.floats(0, 20), min_size=8, max_size=30),
    st.integers(1, 10),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_the_choice_is_enough_and_one_fewer_is_not(demand, ready, running, waiting):
    outlook = an_outlook(demand, running=min(running, 10 * ready), waiting=waiting, ready=ready)

    chosen = fewest(outlook)

    bound = outlook.excess(20, TEN_AT_ONCE, 1.0) + 0.5
    assert 1 <= chosen <= 20 and outlook.excess(chosen, TEN_AT_ONCE, 1.0) <= bound
    assert chosen == 1 or outlook.excess(chosen - 1, TEN_AT_ONCE, 1.0) > bound
