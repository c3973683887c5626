import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from simulator.core.adapters import UnknownAdapterError
from simulator.core.blocks import Stored
from simulator.core.engine import Engine, TooLongError
from simulator.core.speed import LinearSpeed
from tests.support.model_engine import a_sequence, an_engine, held, run_out, steps


def test_the_first_token_comes_at_the_end_of_the_pass_that_ends_the_prompt():
    engine, sequence = an_engine(), a_sequence(prompt=8, output=3)
    engine.add(sequence, 5.0)
    first, second, third = steps(engine, 3, 5.0)

    assert (5.0, 5.0, 6.0, 8.0) == (sequence.arrived_s, sequence.started_s, sequence.first_token_s, sequence.ended_s)
    assert ((sequence,), (), ()) == (first.first, second.first, third.first)
    assert ((), (), (sequence,)) == (first.ended, second.ended, third.ended)
    assert (1, 1, 1) == (first.tokens, second.tokens, third.tokens)


def test_what_an_engine_has_done_is_counted_as_its_metrics_show_it():
    engine = an_engine(max_running=1)
    run_out(engine, a_sequence(prompt=8, output=3), a_sequence(prompt=5, output=2))
    totals = engine.totals

    assert (2, 1.0 + 4.0, 13, 5) == (totals.ttft_count, totals.ttft_sum_s, totals.prompt_tokens, totals.output_tokens)
    assert (3.0, {10_000: 3}, 5.0, 8 + 2 + 5 + 1) == (
        totals.itl_sum_s,
        totals.itl_histogram,
        totals.busy_s,
        totals.computed_tokens,
    )


def test_an_engine_without_work_does_nothing():
    engine = an_engine()
    run_out(engine, a_sequence())

    assert None is engine.step(9.0)


def test_a_long_prompt_is_computed_in_parts():
    engine, sequence = an_engine(pass_tokens=32), a_sequence(prompt=70, output=1)
    engine.add(sequence, 0.0)

    assert [(), (), (sequence,)] == [step.ended for step in steps(engine, 3)]


def test_decoding_goes_on_beside_a_prompt_and_takes_its_tokens_from_the_pass():
    engine, early, late = an_engine(pass_tokens=32), a_sequence(prompt=8, output=9), a_sequence(prompt=63, output=1)
    engine.add(early, 0.0)
    steps(engine, 1)
    engine.add(late, 1.0)
    prefills = [(step.tokens, late.computed) for step in (steps(engine, 1, 1.0) + steps(engine, 1, 2.0))]
    (last,) = steps(engine, 1, 3.0)

    assert [1, 1] == [tokens for tokens, _ in prefills]
    assert ((late,), 2) == (last.ended, last.tokens)  # 31 + 31 + 1 prompt tokens
    assert 4 == engine.decoding.generated(early)


def test_the_batch_is_bounded_and_the_rest_wait_in_order():
    engine = an_engine(max_running=2)
    first, second, third = sequences = [a_sequence(output=2) for _ in range(3)]
    for sequence in sequences:
        engine.add(sequence, 0.0)
    steps(engine, 1)

    assert ([first, second], [third]) == (list(engine.running), list(engine.waiting))


def test_a_repeated_prompt_is_found_in_the_cache_but_for_its_last_token():
    engine = an_engine(block_tokens=4)
    run_out(engine, a_sequence(prompt=8, hashes=[1, 2]))
    again, longer = a_sequence(prompt=8, hashes=[1, 2]), a_sequence(prompt=9, hashes=[1, 2])
    run_out(engine, again)
    run_out(engine, longer)

    assert (4, 8) == (again.cached_tokens, longer.cached_tokens)
    assert (25, 12) == (engine.totals.prefix_queries, engine.totals.prefix_hits)
    assert (25, 12) == (engine.totals.prompt_tokens, engine.totals.cached_tokens)


def test_a_block_that_fills_in_a_later_pass_is_reusable():
    engine = an_engine(block_tokens=4, pass_tokens=10)
    hashes = [1, 2, 3, 4, 5]
    run_out(engine, a_sequence(prompt=20, output=1, hashes=hashes))  # the first pass ends within the third block
    again = a_sequence(prompt=21, output=1, hashes=hashes)
    run_out(engine, again)

    assert 20 == again.cached_tokens


def test_generated_blocks_are_reusable_as_far_as_their_hashes_are_known():
    engine = an_engine(block_tokens=4)
    run_out(engine, a_sequence(prompt=6, output=7, hashes=[1, 2, 3]))  # the last token is generated but not computed
    follow_up = a_sequence(prompt=20, output=1, hashes=[1, 2, 3, 4])
    run_out(engine, follow_up)

    assert 12 == follow_up.cached_tokens


def test_running_sequences_share_the_blocks_of_their_prefix():
    engine = an_engine(block_tokens=4)
    engine.add(a_sequence(prompt=17, output=9, hashes=[1, 2, 3, 4]), 0.0)
    steps(engine, 1)
    engine.add(a_sequence(prompt=17, output=9, hashes=[1, 2, 3, 4]), 1.0)
    steps(engine, 1, 1.0)

    assert 4 + 1 + 1 == held(engine) == engine.blocks.total - engine.blocks.free


def test_when_blocks_run_out_the_last_to_join_is_computed_again():
    engine = an_engine(block_tokens=4, kv_blocks=5)
    early, late = a_sequence(prompt=8, output=9), a_sequence(prompt=7, output=5)
    done_s = run_out(engine, early, late)

    assert (1, 9, 5) == (engine.totals.preemptions, early.generated, late.generated)
    assert (9.0, done_s) == (early.ended_s, late.ended_s)
    assert 1.0 == late.first_token_s  # what was sent is not sent again
    assert 9 + 5 - 2 == sum(engine.totals.itl_histogram.values())
    assert engine.blocks.total == engine.blocks.free


def test_a_preempted_sequence_finds_its_own_blocks_again():
    engine = an_engine(block_tokens=4, kv_blocks=5)
    early, late = a_sequence(prompt=8, output=9, hashes=[1, 2]), a_sequence(prompt=7, output=5, hashes=[8])
    run_out(engine, early, late)

    assert (1, 0) == (
        engine.totals.preemptions,
        late.cached_tokens,
    )  # not what it found later
    assert engine.totals.computed_tokens < 8 + 8 + 7 + 4 + 8


def test_a_prompt_in_parts_gives_way_to_those_that_decode():
    engine = an_engine(block_tokens=4, kv_blocks=6, pass_tokens=8)
    early, late = a_sequence(prompt=7, output=12), a_sequence(prompt=20, output=1)
    run_out(engine, early, late)

    assert (12, 1) == (early.generated, late.generated)
    assert engine.totals.preemptions >= 1


def test_what_could_never_fit_is_refused():
    engine = an_engine(block_tokens=4, kv_blocks=5)
    with pytest.raises(TooLongError):
        engine.add(a_sequence(prompt=16, output=5), 0.0)
    engine.add(a_sequence(prompt=16, output=4), 0.0)

    assert 1 == len(engine.waiting)


def test_an_embedding_ends_with_its_prompt_and_makes_no_token():
    engine, embedding = an_engine(), a_sequence(prompt=8, output=0)
    engine.add(embedding, 0.0)
    (step,) = steps(engine, 1)

    assert ((embedding,), 0, 0) == (step.ended, step.tokens, engine.totals.output_tokens)


@pytest.mark.parametrize("passes", [0, 1, 3])
def test_an_aborted_sequence_gives_everything_back(passes: int):
    engine, sequence, other = an_engine(pass_tokens=8), a_sequence(prompt=20, output=30), a_sequence(prompt=4)
    engine.add(sequence, 0.0)
    steps(engine, passes)
    engine.abort(sequence)
    engine.abort(sequence)

    assert (100, 0, 0, None) == (engine.blocks.free, len(engine.running), len(engine.waiting), sequence.ended_s)
    run_out(engine, other, now_s=10.0)
    assert 4 == other.generated


def test_a_request_for_an_adapter_waits_for_a_slot_and_blocks_no_other():
    engine = an_engine()
    for name in ("a", "b"):
        engine.adapters.load(name, f"/{name}")
    first, second = a_sequence(adapter="a", output=2), a_sequence(adapter="b", output=2)
    base, again = a_sequence(output=2), a_sequence(adapter="a", output=2)
    for sequence in (first, second, base, again):
        engine.add(sequence, 0.0)
    steps(engine, 1)

    assert ([first, base, again], [second]) == (list(engine.running), list(engine.waiting))
    run_out(engine, now_s=1.0)
    assert (2.0, 4.0) == (first.ended_s, second.ended_s)


def test_an_adapter_that_is_not_loaded_is_refused():
    engine = an_engine()

    with pytest.raises(UnknownAdapterError):
        engine.add(a_sequence(adapter="a"), 0.0)


def test_a_stall_delays_the_next_tokens():
    engine, sequence = an_engine(), a_sequence(output=3)
    engine.add(sequence, 0.0)
    steps(engine, 1)
    engine.pause_until(11.0)
    stalled, went_on = steps(engine, 2, 1.0)

    assert ((10.0, 0), (1.0, 1)) == (stalled[:2], went_on[:2])
    assert {110000: 1} == engine.totals.itl_histogram


def test_an_engine_that_sleeps_does_nothing_until_it_is_woken():
    engine = an_engine()
    engine.pause_until(math.inf)
    engine.add(a_sequence(), 0.0)
    asleep = engine.step(0.0)
    engine.pause_until(0.0)

    assert (None, 1) == (asleep, steps(engine, 1, 5.0)[0].tokens)


def test_a_crash_loses_what_was_there_and_forgets_the_cache():
    engine = an_engine()
    run_out(engine, a_sequence(prompt=9, hashes=[1, 2]))
    engine.adapters.load("a", "/a")
    running, waiting, again = a_sequence(), a_sequence(), a_sequence(prompt=9, hashes=[1, 2])
    engine.add(running, 5.0)
    steps(engine, 1, 5.0)
    engine.add(waiting, 6.0)
    lost = engine.crash()
    engine.pause_until(60.0)  # a slow start
    run_out(engine, again, now_s=7.0)

    assert ((running, waiting), {}) == (lost, engine.adapters.loaded)
    assert (0, 61.0, 9) == (again.cached_tokens, again.first_token_s, engine.totals.prefix_queries)


def test_the_time_of_a_pass_counts_decodes_and_prompts_by_the_formula():
    engine = an_engine(speed=LinearSpeed(a=1000, b=100, c=0, d=1, e=10), block_tokens=4)
    engine.add(a_sequence(prompt=8, output=9), 0.0)
    steps(engine, 1)
    engine.add(a_sequence(prompt=6, output=9), 0.0)
    (step,) = steps(engine, 1)

    assert 1000 + 100 * 7 + 9 + 10 * 2 == step.duration_s


@example([(30, 28, 1, 2), (23, 13, 0, 0), (27, 2, 2, 0), (25, 0, 2, 0)], 19)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 30), st.integers(0, 5), st.integers(0, 12)), max_size=25),
    st.integers(18, 60),
)
def test_blocks_never_exceed_the_budget_and_every_token_is_accounted_for(
    work: list[tuple[int, int, int, int]], kv_blocks: int
):
    engine = an_engine(kv_blocks=kv_blocks, pass_tokens=24)
    sequences = []
    for prompt, output, kind, passes in work:
        sequences.append(a_sequence(prompt, output, [kind * 100 + block for block in range((prompt + output) // 4)]))
        engine.add(sequences[-1], 0.0)
        run_watched(engine, passes)
    run_watched(engine, 10_000)

    assert [output for _, output, _, _ in work] == [sequence.generated for sequence in sequences]
    assert sum(output for _, output, _, _ in work) == engine.totals.output_tokens
    assert (kv_blocks, 0) == (engine.blocks.free, len(engine.running) + len(engine.waiting))
    decoded = sum(max(0, s.output_tokens - 1) for s in sequences)
    if engine.totals.preemptions:  # who starts again may find blocks that others have computed meanwhile
        assert engine.totals.computed_tokens >= decoded + len(sequences)
    else:
        assert engine.totals.computed_tokens == decoded + sum(s.prompt_tokens - s.cached_tokens for s in sequences)


def run_watched(engine: Engine, passes: int) -> None:
    """Up to so many passes, the invariants checked after each."""
    for _ in range(passes):
        step = engine.step(0.0)
        if step is None:
            return
        generated = len(engine.decoding) + sum(1 for sequence in step.ended if sequence.output_tokens)
        assert generated == step.tokens
        assert held(engine) == engine.blocks.total - engine.blocks.free <= engine.blocks.total
        assert len(engine.running) <= engine.profile.max_running
        assert engine.decoding.tokens == sum(s.prompt_tokens + engine.decoding.generated(s) for s in engine.decoding)


def test_blocks_that_become_reusable_are_reported_once_with_the_sequence_that_filled_them():
    changes = []
    engine = Engine(an_engine().profile, changes)
    first, second = (a_sequence(prompt=8, output=1, hashes=[1, 2]) for _ in range(2))

    run_out(engine, first)
    run_out(engine, second, now_s=10.0)

    assert [Stored(first, 0), Stored(first, 1)] == changes


def test_the_cache_is_cleared_only_while_nothing_runs():
    engine = an_engine()
    engine.add(a_sequence(hashes=[1, 2]), 0.0)
    engine.step(0.0)
    assert not engine.clear_cache()

    run_out(engine, now_s=1.0)

    assert engine.clear_cache()
    assert 0 == engine.blocks.cached_prefix([1, 2], 2)
