"""The gateway's own accounting of one pod."""

from math import inf

import pytest

from routing.pods.engine_totals import EngineTotals
from routing.pods.load import (
    MIN_OUTPUT_TOKENS,
    MIN_SCRAPE_GAP_S,
    NONE_IN_FLIGHT,
    RESPONSE_TIME_S,
    WINDOW_S,
    InFlight,
    Load,
    Work,
)
from routing.pods.prefill_share import ITL_TARGET_SHARE, MAX_PREFILL_SHARE, MIN_PREFILL_SHARE
from routing.pods.speed import PRIOR, Speed


def known() -> Speed:
    """10 ms a request, 1 ms a token."""
    speed = Speed()
    speed.fixed_s, speed.token_s, speed.known = 0.01, 0.001, True
    return speed


def work(uncached: float = 100, prompt: int = 200, output: int = 50) -> Work:
    return Work(prompt, uncached, output, None)


def sent_at_once(*works: Work) -> Load:
    load = Load(known())
    for each in works:
        load.start(each, 0.0)
    return load


def test_what_is_in_flight_is_counted_from_start_to_end() -> None:
    load, first, second = Load(), work(), work(uncached=30, prompt=40, output=5)

    load.start(first, 0.0)
    load.start(second, 0.0)
    assert (load.in_flight, load.prefill_tokens, load.resident_tokens) == (2, 130, 295)

    load.end(first, 1.0)
    assert (load.in_flight, load.prefill_tokens, load.resident_tokens) == (1, 30, 45)

    load.end(second, 1.0)
    assert (load.in_flight, load.prefill_tokens, load.resident_tokens) == (0, 0, 0)


def test_a_prompt_waits_for_those_before_it_less_what_is_done() -> None:
    load, works = Load(known()), [work(), work(), work()]
    for each, now_s in zip(works, (0.0, 0.0, 0.05), strict=True):
        load.start(each, now_s)

    assert [each.wait_s for each in works] == pytest.approx([0.0, 0.11, 0.17])
    assert load.prefill_done_at_s == pytest.approx(0.33)


def test_a_prompt_that_ended_early_makes_those_behind_it_early() -> None:
    first = work(uncached=1000)
    load = sent_at_once(first, work())

    load.end(first, 0.5)  # 1.01 was believed

    assert load.prefill_done_at_s == pytest.approx(0.61)


def test_an_answer_proves_that_the_prompts_before_it_are_computed() -> None:
    second = work(uncached=1000)
    load = sent_at_once(work(uncached=1000), second, work())

    load.end(second, 0.5)
    load.answered(second, 0.0, 0.5)

    assert load.prefill_done_at_s == pytest.approx(0.5 + 0.11)


def test_a_prompt_that_was_given_up_takes_only_its_own_time_with_it() -> None:
    third = work(uncached=1000)
    load = sent_at_once(work(uncached=1000), work(uncached=1000), third)

    load.end(third, 0.1)
    load.gave_up(third, 0.2)

    assert load.prefill_done_at_s == pytest.approx(2 * 1.01)
    assert load.prefill_backlog_s(0.2) == pytest.approx(2 * 1.01 - 0.2)


def test_what_was_drained_of_a_prompts_backlog_stays_drained_when_it_is_given_up() -> None:
    first = work(uncached=1000)
    load = sent_at_once(first, work(uncached=1000))

    load.end(first, 0.6)
    load.gave_up(first, 0.6)

    assert load.prefill_backlog_s(0.6) == pytest.approx(1.01)


def test_a_backlog_that_an_idle_moment_ended_is_not_taken_back_from_later_requests() -> None:
    first = work(uncached=1000)
    load = sent_at_once(first)
    load.end(first, 0.1)
    load.start(work(uncached=1000), 0.1)
    load.gave_up(first, 0.15)

    assert load.prefill_backlog_s(0.1) == pytest.approx(1.01)


def test_an_idle_pod_has_no_wait() -> None:
    load, only = Load(known()), work(uncached=10_000)
    load.start(only, 0.0)
    load.end(only, 1.0)

    assert load.prefill_done_at_s == 1.0


def test_before_its_speed_is_known_a_pod_has_no_predicted_wait() -> None:
    load = Load()
    load.start(work(), 0.0)

    assert load.prefill_done_at_s == 0.0


def test_busy_time_is_the_time_with_a_request_in_flight_and_fades() -> None:
    load, first, second = Load(), work(), work()
    load.start(first, 0.0)
    load.start(second, 1.0)
    load.end(first, 2.0)
    load.end(second, 3.0)

    assert load.busy_s(3.0) == pytest.approx(3.0, rel=0.05)
    assert load.busy_s(3.0 + WINDOW_S) == pytest.approx(load.busy_s(3.0) / 2.718, rel=0.01)


def test_a_pod_that_is_always_busy_is_busy_for_the_window() -> None:
    load = Load()
    load.start(work(), 0.0)

    assert load.busy_s(100 * WINDOW_S) == pytest.approx(WINDOW_S)


def test_processed_tokens_add_up_and_fade() -> None:
    load = Load()
    load.answered(None, cost=100, now_s=0.0)
    load.answered(None, cost=50, now_s=0.0)

    assert load.processed_tokens(0.0) == 150
    assert load.processed_tokens(WINDOW_S) == pytest.approx(150 / 2.718, rel=0.01)
    assert load.processed_tokens(-1.0) == 150  # a clock that runs backwards makes nothing of nothing


def test_latency_is_per_weighted_token_and_unknown_before_the_first_answer() -> None:
    load = Load()
    assert load.latency_per_token_s is None

    load.learn(None, 2.0, 10, cost=100, now_s=0.0)
    load.learn(None, 0.0, 10, cost=100, now_s=0.0)  # took no time: nobody saw how long

    assert load.latency_per_token_s == pytest.approx(0.02)


def test_what_its_own_requests_took_teaches_its_kind() -> None:
    kind = Speed()
    load, done = Load(kind), work()
    load.start(done, 0.0)
    load.end(done, 1.0)

    load.learn(done, 1.0, 10, 120, 1.0)
    load.learn(None, 1.0, 10, 120, 1.0)  # answered here, sent elsewhere

    assert kind.requests == 1


def test_a_backlog_shrinks_at_the_prefill_share_and_is_gone_when_the_pod_is_idle() -> None:
    load, first = Load(known()), work(uncached=990)
    load.start(first, 0.0)
    load.start(work(uncached=990), 0.0)
    load.prefill_share = 0.5

    assert [load.prefill_backlog_s(now_s) for now_s in (0.0, 1.0, 10.0)] == pytest.approx([2.0, 1.5, 0.0])
    load.end(first, 1.0)
    load.end(first, 1.0)
    assert load.prefill_backlog_s(1.0) == 0.0


def with_itl_slo(itl_s: float, kind: Speed | None = None) -> Load:
    load = Load(kind or known())
    load.set_itl_slo(itl_s)
    return load


@pytest.mark.parametrize(("itl_s", "expected"), [(0.1, 0.9), (0.01, 1.076), (5.0, 0.9)])
def test_prompts_get_less_of_the_time_when_tokens_come_too_far_apart(itl_s: float, expected: float) -> None:
    load, done = with_itl_slo(0.05), work(uncached=0)
    done.wait_s = 0.2
    load.learn(done, 0.2 + 0.01 + 100 * itl_s, 100, 300.0, 1.0)

    assert load.prefill_share == pytest.approx(expected, abs=0.001)


def test_the_share_of_prompts_is_bounded_and_short_answers_say_nothing() -> None:
    slow, fast, short = (with_itl_slo(0.05) for _ in range(3))
    for _ in range(50):
        slow.learn(work(), 100.0, 100, 300.0, 1.0)
        fast.learn(work(), 0.2, 100, 300.0, 1.0)
        short.learn(work(), 100.0, MIN_OUTPUT_TOKENS - 1, 300.0, 1.0)

    assert (slow.prefill_share, fast.prefill_share, short.prefill_share) == (MIN_PREFILL_SHARE, MAX_PREFILL_SHARE, 1.0)


def totals(
    itl_count: float = 0, itl_s: float = 0.01, ttft_count: float = 0, ttft_s: float = 0.1, computed: float = 0
) -> EngineTotals:
    """Return the totals of an engine that found as many prompt tokens in its cache as it computed."""
    return EngineTotals(itl_count * itl_s, itl_count, ttft_count * ttft_s, ttft_count, 2 * computed, computed)


@pytest.mark.parametrize(
    ("itl_s", "after_s", "expected"), [(0.021, 2.0, 1.1), (0.084, 2.0, 0.8), (9.0, 60.0, MIN_PREFILL_SHARE)]
)
def test_the_engines_own_itl_moves_the_prefill_share_as_fast_as_time_passes(
    itl_s: float, after_s: float, expected: float
) -> None:
    load = with_itl_slo(0.05)
    load.observe(totals(), 0.0, 9.0)
    load.observe(totals(itl_count=100, itl_s=itl_s), after_s, 99.0)

    assert load.prefill_share == pytest.approx(expected)


def test_while_the_engine_reports_its_itl_durations_do_not_count() -> None:
    load = with_itl_slo(0.05)
    load.observe(totals(), 0.0, 7.0)
    load.observe(totals(itl_count=100, itl_s=0.042), 2.0, 9.0)

    load.learn(work(), 100.0, 100, 300.0, 9.0)
    assert load.prefill_share == pytest.approx(1.0)

    load.observe(totals(itl_count=100, itl_s=0.042), 8.0, 15.0)  # it made no tokens meanwhile
    load.learn(work(), 100.0, 100, 300.0, 9.1)
    assert load.prefill_share == pytest.approx(0.9)


def test_scrapes_in_short_succession_count_as_one() -> None:
    load = with_itl_slo(0.05)
    for step in range(5):
        load.observe(totals(itl_count=step, itl_s=0.084), step * MIN_SCRAPE_GAP_S / 4, 9.0)

    assert load.prefill_share == pytest.approx(1 - MIN_SCRAPE_GAP_S / RESPONSE_TIME_S)


def test_the_time_to_the_first_token_teaches_the_pod_and_its_kind() -> None:
    kind = Speed()
    load, idle = Load(kind), Load(kind)
    for scrape in range(200):  # one prompt at a time in the one, always some waiting in the other
        load.observe(totals(ttft_count=scrape, ttft_s=0.2, computed=scrape * 2000), scrape * 2.0, 9.0)
        idle.observe(totals(), scrape * 2.0, 9.0)

    assert kind.fixed_s + 2000 * kind.token_s == pytest.approx(0.2, rel=0.01)


@pytest.mark.parametrize(
    "restarted",
    [totals(), totals(itl_count=1, ttft_count=1, computed=1), totals(itl_count=500, ttft_count=1, computed=500)],
)
def test_an_engine_that_restarts_teaches_nothing(restarted: EngineTotals) -> None:
    kind = Speed()
    load = with_itl_slo(0.05, kind)
    load.observe(totals(itl_count=400, itl_s=1.0, ttft_count=400, computed=400), 0.0, 9.0)
    load.observe(restarted, 2.0, 9.0)

    assert (load.prefill_share, kind.coefficients) == (1.0, PRIOR)


def test_what_another_process_counted_is_not_compared() -> None:
    load = with_itl_slo(0.05, Speed())
    load.observe(totals(itl_count=400), 0.0, 9.0)
    load.forget_totals()
    load.observe(totals(itl_count=500, itl_s=1.0), 2.0, 9.0)

    assert load.prefill_share == 1.0


def test_the_batch_that_keeps_an_itl_is_learned_from_scrapes_under_different_loads() -> None:
    load, silent, itl_count, itl_sum_s = with_itl_slo(0.05), with_itl_slo(0.05), 0.0, 0.0
    for scrape in range(1, 8):
        load.in_flight = silent.in_flight = 10 * scrape
        itl_s = 0.01 + 0.001 * (10 * scrape - 5)  # on average it had 5 fewer since the last scrape
        itl_count, itl_sum_s = itl_count + 100, itl_sum_s + 100 * itl_s
        load.observe(EngineTotals(itl_sum_s, itl_count, 0.0, 0.0, 0.0, 0.0), 2.0 * scrape, 99.0)
        silent.observe(EngineTotals(itl_sum_s, itl_count), 2.0 * scrape, 99.0)

    assert silent.max_in_flight == inf  # it does not tell what prompts had to do with its itl_count
    assert load.max_in_flight == pytest.approx((0.05 * ITL_TARGET_SHARE - 0.01) / 0.001)
    load.set_itl_slo(inf)
    assert load.max_in_flight == inf


def test_what_others_have_counts_and_leaves_without_a_remainder() -> None:
    load, own = Load(known()), work(uncached=0.1 + 0.2)
    load.start(own, 0.0)
    theirs = InFlight(2, 300, 20, 500)
    load.count_elsewhere(NONE_IN_FLIGHT, theirs, 0.0)
    assert (3, pytest.approx(300.3), 70, 750) == (
        load.in_flight, load.prefill_tokens, load.output_tokens, load.resident_tokens,
    )  # fmt: skip
    assert InFlight(1, 0, 50, 250, 0, 1) == load.own

    load.end(own, 1.0)
    assert (2, 300.0, 20, 500) == (load.in_flight, load.prefill_tokens, load.output_tokens, load.resident_tokens)
    assert NONE_IN_FLIGHT._replace(sent=1) == load.own

    load.count_elsewhere(theirs, NONE_IN_FLIGHT, 2.0)
    assert (0, 0.0, 0, 0) == (load.in_flight, load.prefill_tokens, load.output_tokens, load.resident_tokens)
    assert load.busy_s(2.0) == pytest.approx(2.0, rel=0.05)


def test_prefill_that_others_sent_makes_ours_wait_until_the_pod_is_idle() -> None:
    load = Load(known())
    load.count_elsewhere(NONE_IN_FLIGHT, InFlight(1, 1000, 10, 1010), 1.0)
    load.sent_elsewhere(1.01, 0.0, None, None, 1.0)
    ours = work()
    load.start(ours, 1.0)
    assert (pytest.approx(1.01), pytest.approx(2.12)) == (ours.wait_s, load.prefill_done_at_s)
    assert load.prefill_backlog_s(1.0) == pytest.approx(1.12)

    load.sent_elsewhere(-1.01, 0.0, None, None, 1.0)  # given up
    assert (pytest.approx(1.11), pytest.approx(0.11)) == (load.prefill_done_at_s, load.prefill_backlog_s(1.0))

    load.end(ours, 1.0)
    load.count_elsewhere(InFlight(1, 1000, 10, 1010), NONE_IN_FLIGHT, 1.0)
    assert (1.0, 0.0) == (load.prefill_done_at_s, load.prefill_backlog_s(1.0))


def test_an_answer_seen_elsewhere_shortens_the_wait_but_not_by_what_was_sent_meanwhile() -> None:
    here, there = Load(known()), Load(known())
    for load in (here, there):
        load.count_elsewhere(NONE_IN_FLIGHT, InFlight(1, 0, 0, 0), 0.0)
        load.sent_elsewhere(5.0, 0.0, None, None, 0.0)
    answered = work()
    there.start(answered, 0.0)
    here.sent_elsewhere(*there.take_news(0.0), 0.0)
    assert here.prefill_done_at_s == pytest.approx(5.11)

    here.start(work(uncached=1000), 1.0)
    there.answered(answered, 300.0, 1.0)
    here.sent_elsewhere(*there.take_news(1.0), 1.0)
    assert here.prefill_done_at_s == pytest.approx(1.0 + 1.01)
    assert here.processed_tokens(1.0) == pytest.approx(300.0)
    assert (0.0, 0.0, None, None) == there.take_news(1.0)


def test_replicas_come_to_agree_on_the_prefill_share() -> None:
    """Each adjusts it by what it sees of the same engine; alone their small differences would add up."""
    slow, fast = Load(known()), Load(known())
    for load in (slow, fast):
        load.set_itl_slo(0.05)
    slow.learn_speed(1000.0, 100, 20.0, 0.0, 1.0)  # far over the target
    fast.learn_speed(1000.0, 100, 0.5, 0.0, 1.0)
    before = (slow.prefill_share, fast.prefill_share)
    for _ in range(2):
        fast.sent_elsewhere(*slow.take_news(1.0), 1.0)
        slow.sent_elsewhere(*fast.take_news(1.0), 1.0)

    assert before[0] < slow.prefill_share < fast.prefill_share < before[1]
    assert fast.prefill_share - slow.prefill_share < (before[1] - before[0]) / 2
    assert slow.take_news(1.0)[2] is None  # what others told is not told on


def test_a_replica_that_is_new_catches_up_with_what_others_know() -> None:
    load = Load(known())
    load.catch_up(0.5, 2.0, 10.0)
    load.catch_up(0.3, 1.0, 10.0)

    assert (12.0, 0.5) == (load.prefill_done_at_s, load.prefill_backlog_s(10.0))
