"""vtc-basic."""

import random

from routing.strategies.vtc_basic import MAX_USERS, WINDOW_S, VtcBasic
from routing.strategy import Finished, Tools
from tests.support.choosing import REQUEST
from tests.support.pods import pods_with
from tests.support.steps import steps


def after(**used: int) -> VtcBasic:
    """A strategy after these users used so many output tokens."""
    strategy = VtcBasic(Tools(random.Random(1)))
    for user, tokens in used.items():
        strategy.observe(Finished("p0", REQUEST._replace(user=user), 0.0, False, input_tokens=0, output_tokens=tokens))
    return strategy


def pod_of(strategy: VtcBasic, user: str, *in_flight: int, now_s: float = 0.0) -> str:
    return strategy.pick(REQUEST._replace(user=user), pods_with(*in_flight), now_s).pod.id


def test_the_heaviest_user_goes_to_the_end_of_the_row_and_a_new_one_to_its_beginning() -> None:
    strategy = after(heavy=1000, middle=500)

    assert [pod_of(strategy, user, 0, 0, 0) for user in ("heavy", "middle", "new")] == ["p2", "p1", "p0"]


def test_load_moves_a_user_on() -> None:
    assert pod_of(after(heavy=1000, middle=500), "middle", 0, 9, 0) in {"p0", "p2"}


def test_what_was_used_long_ago_counts_little() -> None:
    strategy = after(early=1000)
    late = Finished("p0", REQUEST._replace(user="late"), 5 * WINDOW_S, False, input_tokens=100, output_tokens=200)
    strategy.observe(late)

    assert pod_of(strategy, "early", 0, 0, 0, now_s=5 * WINDOW_S) == "p0"


def test_users_are_not_remembered_without_end() -> None:
    strategy = after(**{f"user{number}": 1 for number in range(MAX_USERS + 10)})

    assert len(strategy._counters) == MAX_USERS


def test_a_pick_is_no_more_work_with_many_users_than_with_one() -> None:
    few, many = after(user=1), after(**{f"user{number}": 1 for number in range(1000)})

    assert steps(lambda: pod_of(few, "new", 0, 0)) == steps(lambda: pod_of(many, "new", 0, 0))
