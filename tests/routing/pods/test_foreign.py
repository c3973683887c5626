"""Foreign load: what is counted as others' requests, and what never is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.pods.engine_totals import NO_TOTALS, EngineTotals
from routing.pods.foreign import AFTER_S, BEFORE_S, STALLED_S, Foreign, Reported
from routing.pods.speed import Speed

FRESH_S = 3.0
INTERVAL_S = 2.0


def scraped(
    foreign: Foreign, reported: Reported, ours: int = 0, now_s: float = 10.0, totals: EngineTotals = NO_TOTALS
) -> Foreign:
    foreign.observe(reported, totals, ours, now_s, now_s + FRESH_S)
    return foreign


def counted(tokens: float) -> EngineTotals:
    """Totals of an engine that has made so many tokens, a first one in ten, each for a prompt of 100 tokens."""
    firsts = tokens / 10
    return EngineTotals(tokens / 100, tokens, firsts / 10, firsts, firsts * 150, firsts * 50)


def known(token_s: float = 1e-3) -> Speed:
    speed = Speed()
    speed.fixed_s, speed.token_s, speed.known = 0.01, token_s, True
    return speed


def test_what_exceeds_ours_is_foreign_in_the_same_share_of_running_and_waiting_requests() -> None:
    foreign = scraped(Foreign(), Reported(running=8, waiting=32, tokens=500), ours=10)

    assert (foreign.requests, foreign.running, foreign.waiting, foreign.tokens) == (30, 6, 24, 500)


def test_where_the_use_of_the_cache_is_unknown_running_requests_have_the_tokens_of_mean_prompts_there() -> None:
    foreign = scraped(Foreign(), Reported(running=8, tokens=None), totals=counted(100))
    assert foreign.tokens == 0  # nothing is known of prompts yet

    scraped(foreign, Reported(running=8, waiting=8, tokens=None), ours=4, now_s=12.0, totals=counted(200))
    assert foreign.tokens == pytest.approx(6 * 100)


def test_nothing_is_foreign_while_all_is_ours() -> None:
    foreign = scraped(Foreign(), Reported(running=8, waiting=2, tokens=500), ours=10)

    assert (foreign.requests, foreign.running, foreign.waiting, foreign.tokens) == (0, 0, 0, 0)


def test_old_signals_are_no_foreign_load() -> None:
    foreign = scraped(Foreign(), Reported(running=1, waiting=1), now_s=10.0)

    assert foreign.is_fresh(10.0 + FRESH_S)
    assert foreign.is_waiting(10.0 + FRESH_S)
    assert not foreign.is_fresh(10.1 + FRESH_S)
    assert not foreign.is_waiting(10.1 + FRESH_S)


@pytest.mark.parametrize("ended_s", [10.0 - BEFORE_S, 9.99, 10.05])
def test_requests_of_ours_that_just_ended_are_not_foreign_while_the_engine_counts_them(ended_s: float) -> None:
    foreign = Foreign()
    for ours in range(60, 0, -1):  # their clients leave
        foreign.before_fewer(ours, ended_s)

    assert scraped(foreign, Reported(running=40, waiting=20)).requests == 0
    assert scraped(foreign, Reported(running=40, waiting=20), now_s=10.0 + 3 * BEFORE_S).requests == 60


def test_the_largest_count_is_known_across_a_change_of_the_remembered_time() -> None:
    foreign = Foreign()
    foreign.before_fewer(9, 8.0)
    foreign.before_fewer(3, 8.1 + BEFORE_S)

    assert scraped(foreign, Reported(running=12), now_s=8.2 + BEFORE_S).requests == 3
    assert scraped(foreign, Reported(running=12), now_s=8.2 + 2 * BEFORE_S).requests == 9


def test_what_siblings_tell_late_is_taken_back_and_what_they_send_later_is_not() -> None:
    foreign = scraped(Foreign(), Reported(running=12, waiting=8), ours=4)
    assert foreign.requests == 16

    foreign.after_more(10, 10.0 + AFTER_S / 2)
    assert (foreign.requests, foreign.running, foreign.waiting) == (10, 6, 4)
    foreign.after_more(20, 10.0 + AFTER_S)
    assert foreign.requests == 10


def test_a_restart_forgets_what_was_reported() -> None:
    foreign = scraped(Foreign(), Reported(running=12, waiting=8), totals=counted(1000))
    foreign.forget()

    assert (foreign.requests, foreign.running, foreign.waiting) == (0, 0, 0)
    assert not foreign.is_waiting(10.0)
    assert scraped(foreign, Reported(running=1), now_s=12.0, totals=counted(10)).requests == 1


def test_a_wait_is_the_prefill_of_mean_prompts_as_the_engine_counts_them() -> None:
    foreign = scraped(Foreign(), Reported(running=4), totals=counted(100))
    assert foreign.mean_tokens == 0

    scraped(foreign, Reported(running=4, waiting=5), now_s=12.0, totals=counted(200))
    assert foreign.mean_tokens == pytest.approx(100)
    assert foreign.wait_s(known(), prompt_tokens=900) == pytest.approx(5 * 0.11)


def test_prompts_of_unknown_length_are_taken_to_be_like_the_one_at_hand() -> None:
    foreign = scraped(Foreign(), Reported(waiting=5))

    assert foreign.wait_s(known(), prompt_tokens=900) == pytest.approx(5 * 0.91)
    assert foreign.wait_s(Speed(), prompt_tokens=900) == 0  # an unknown speed says nothing


def test_where_a_full_batch_and_not_prefill_is_waited_for_first_tokens_tell_how_long() -> None:
    foreign = scraped(Foreign(), Reported(running=8, waiting=60), now_s=10.0, totals=counted(1000))
    scraped(foreign, Reported(running=8, waiting=60), now_s=10.0 + INTERVAL_S, totals=counted(1040))  # 4 first tokens
    assert foreign.wait_s(known(1e-5), prompt_tokens=100) == pytest.approx(60 * INTERVAL_S / 4)

    scraped(foreign, Reported(running=8), now_s=14.0, totals=counted(1080))  # none waited any more
    scraped(foreign, Reported(running=8, waiting=1), now_s=16.0, totals=counted(1120))
    assert foreign.wait_s(known(1e-5), prompt_tokens=100) == pytest.approx(0.01 + 100e-5)


def test_gauges_that_stand_still_without_a_token_are_believed_for_a_while() -> None:
    foreign, reported = Foreign(), Reported(running=106, waiting=15)
    found = [
        scraped(foreign, reported, now_s=now_s, totals=counted(1000)).requests
        for now_s in (0.0, STALLED_S, STALLED_S + INTERVAL_S)
    ]
    assert found == [121, 121, 0]

    assert scraped(foreign, reported, now_s=40.0, totals=counted(1001)).requests == 121  # it works after all


def test_gauges_that_change_and_those_of_an_engine_that_counts_no_tokens_are_always_believed() -> None:
    foreign = Foreign()
    for turn in range(40):
        scraped(foreign, Reported(waiting=60), now_s=turn * INTERVAL_S)
        assert foreign.requests == 60
    for turn in range(40):
        scraped(foreign, Reported(waiting=50 + turn % 2), now_s=100 + turn * INTERVAL_S, totals=counted(1000))
        assert foreign.requests == 50 + turn % 2


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("sez"), st.floats(0, 1.5)), max_size=60), st.floats(0, BEFORE_S))
def test_requests_of_ours_alone_are_never_foreign(steps: list[tuple[str, float]], lag_s: float) -> None:
    """Whatever the order of starts, ends and scrapes, with gauges that are up to BEFORE_S old."""
    foreign, now_s, ours = Foreign(), 0.0, 0
    history = [(0.0, 0)]
    for step, pause_s in steps:
        now_s += pause_s
        if step == "s":
            ours += 1
        elif step == "e" and ours:
            foreign.before_fewer(ours, now_s)
            ours -= 1
        history.append((now_s, ours))
        if step == "z":
            reported = [count for at_s, count in history if at_s <= max(0.0, now_s - lag_s)][-1]
            assert scraped(foreign, Reported(running=reported), ours, now_s).requests == 0
