import pytest

from simulator.profile import Profile, Speed
from simulator.timing import Scheduler, Sequence

SPEED = Speed(ttft_s=1.0, prefill_tokens_per_s=100.0, tokens_per_s=2.0)


def a_scheduler(**changes):
    return Scheduler(Profile(**{"model": "m", "speed": SPEED} | changes))


def a_sequence(output=3, prompt=50, arrived_s=0.0, blocks=()):
    return Sequence(prompt, output, arrived_s, blocks)


def run(scheduler, until_s):
    return [(round(s.token_s, 6), s, s.made) for s in scheduler.advance(until_s)]


def test_the_first_token_takes_ttft_and_prefill_and_each_further_one_the_decode_interval():
    scheduler, sequence = a_scheduler(), a_sequence()
    scheduler.submit(sequence, 0.0)

    assert [(1.5, sequence, 1), (2.0, sequence, 2), (2.5, sequence, 3)] == run(scheduler, 10)
    assert sequence.ended
    assert scheduler.next_s() is None


def test_nothing_comes_before_its_time():
    scheduler = a_scheduler()
    scheduler.submit(a_sequence(), 0.0)

    assert [] == run(scheduler, 1.4999)
    assert scheduler.next_s() == 1.5


def test_tokens_of_several_sequences_come_in_the_order_of_their_times():
    scheduler, early, late = a_scheduler(), a_sequence(2), a_sequence(2)
    scheduler.submit(early, 0.0)
    scheduler.submit(late, 0.1)

    assert [early, late, early, late] == [sequence for _, sequence, _ in run(scheduler, 10)]


def test_a_full_batch_makes_others_wait_and_a_freed_slot_is_taken_at_once():
    scheduler, first, second = a_scheduler(max_running=1), a_sequence(1), a_sequence(1)
    scheduler.submit(first, 0.0)
    scheduler.submit(second, 0.0)
    assert (1, 1) == (len(scheduler.running), len(scheduler.waiting))

    times = [at_s for at_s, _, _ in run(scheduler, 10)]

    assert [1.5, 3.0] == times
    assert second.started_s == 1.5


def test_a_sequence_waits_until_the_kv_cache_has_room_for_its_whole_length():
    scheduler = a_scheduler(kv_blocks=10, max_model_len=160)
    big, small = a_sequence(output=32, prompt=96), a_sequence(output=32, prompt=16)
    scheduler.submit(big, 0.0)  # 8 blocks in the end
    scheduler.submit(small, 0.0)  # 3

    assert ({big}, [small]) == (scheduler.running, list(scheduler.waiting))
    assert scheduler.kv_usage == pytest.approx(0.6)  # the six blocks of the prompt

    scheduler.abort(big, 1.0)

    assert {small} == scheduler.running


def test_kv_usage_grows_with_the_output_and_ends_at_zero():
    scheduler = a_scheduler(kv_blocks=512)
    scheduler.submit(a_sequence(output=17, prompt=16), 0.0)

    usages = [scheduler.kv_usage * 512 for _ in scheduler.advance(100)]

    assert [2] * 16 + [0] == usages
    assert scheduler.kv_usage == 0


def test_an_aborted_sequence_makes_no_token_and_frees_its_place():
    scheduler, running, waiting, third = a_scheduler(max_running=1), a_sequence(), a_sequence(), a_sequence()
    for sequence in (running, waiting, third):
        scheduler.submit(sequence, 0.0)

    scheduler.abort(waiting, 0.5)
    scheduler.abort(running, 1.0)
    scheduler.abort(running, 1.0)

    assert {third} == scheduler.running
    assert {third} == {sequence for _, sequence, _ in run(scheduler, 10)}
    assert (set(), {}) == (scheduler.running, scheduler.waiting)


def test_an_embedding_ends_with_its_prefill_and_makes_no_token():
    scheduler = a_scheduler()
    scheduler.submit(a_sequence(output=0), 0.0)

    assert [(1.5, 0)] == [(at_s, made) for at_s, _, made in run(scheduler, 10)]
    assert set() == scheduler.running


def test_a_cached_prefix_shortens_the_prefill_but_never_to_nothing():
    scheduler = a_scheduler()
    for _ in range(2):
        scheduler.submit(a_sequence(output=1, prompt=32, blocks=(1, 2)), 0.0)

    cold_s, warm_s = sorted((at_s for at_s, _, _ in run(scheduler, 10)), reverse=True)

    assert (1.32, 1.16) == (cold_s, warm_s)  # of two full blocks, the last is computed again
    assert (64, 16) == (scheduler.prefix_queries, scheduler.prefix_hits)


def test_a_new_speed_binds_tokens_that_are_already_planned():
    scheduler = a_scheduler(speed=Speed(ttft_s=3600))
    scheduler.submit(a_sequence(output=2), 0.0)

    scheduler.set_speed(SPEED, 10.0)

    assert [11.5, 12.0] == [at_s for at_s, _, _ in run(scheduler, 20)]


def test_a_late_caller_gets_every_token_with_the_time_it_was_due():
    punctual, late = a_scheduler(), a_scheduler()
    for scheduler in (punctual, late):
        scheduler.submit(a_sequence(), 0.0)

    steps = [at_s for tick in range(40) for at_s, _, _ in run(punctual, tick / 10)]

    assert steps == [at_s for at_s, _, _ in run(late, 1000)]
