"""The start-up time: orders are matched with the pods that turn ready."""

from hypothesis import given
from hypothesis import strategies as st

from autoscaling.slo.startup import LONGEST_S, PRIOR_S, Startup
from tests.support.observations import seen


def observe(startup: Startup, *steps: tuple[float, int, int]) -> Startup:
    for now_s, ready, starting in steps:
        startup.observe(seen(now_s, ready, starting=starting))
    return startup


def test_before_two_pods_turned_ready_the_prior_counts():
    startup = observe(Startup(), (0, 1, 0), (5, 1, 1), (30, 2, 0))

    assert (30, PRIOR_S) == (startup.longest_s, startup.expected_s)


def test_a_pod_is_as_old_as_the_observation_before_it_was_first_seen():
    startup = observe(Startup(), (0, 1, 0), (5, 1, 2), (100, 3, 0))

    assert (2, 100) == (startup.seen, startup.expected_s)


def test_a_slow_start_counts_at_once_and_a_fast_one_little_by_little():
    startup = observe(Startup(), (0, 1, 0), (5, 1, 2), (100, 3, 0), (105, 3, 1), (150, 4, 0))

    assert 0.7 * 100 + 0.3 * 50 == startup.expected_s
    assert 300 == observe(startup, (155, 4, 1), (450, 5, 0)).expected_s


def test_a_pod_that_does_not_start_stretches_the_time_up_to_a_bound():
    startup = observe(Startup(), (0, 1, 0), (5, 1, 1), (200, 1, 1))
    assert 200 == startup.expected_s

    assert LONGEST_S == observe(startup, (100_000, 1, 1)).expected_s


def test_the_rest_of_each_start_is_known():
    startup = observe(Startup(), (0, 1, 0), (5, 1, 2), (100, 3, 0), (110, 3, 1), (150, 3, 2))

    assert [50, 60] == startup.remaining_s(150)


def test_pods_that_were_given_up_are_forgotten_the_newest_first():
    startup = observe(Startup(), (0, 1, 0), (5, 1, 1), (50, 1, 3), (60, 1, 1))

    assert [0] == startup.orders_s


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=60))
def test_there_is_an_order_for_each_starting_pod_and_the_time_is_bounded(steps):
    startup = Startup()
    for index, (ready, starting) in enumerate(steps):
        observe(startup, (5 * index, ready, starting))

        assert starting == len(startup.orders_s) and startup.orders_s == sorted(startup.orders_s)
        assert 0 < startup.expected_s <= LONGEST_S
