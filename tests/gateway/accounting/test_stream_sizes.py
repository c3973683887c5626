"""Streams by their bytes: the prior, whatever engine writes the events, streams that were cut, and what is absurd."""

from random import Random

import pytest

from gateway.accounting.stream_sizes import MAX_SHAPES, StreamShape, StreamSize, StreamSizes

CHAT = StreamShape("/v1/chat/completions")


def a_stream(rng: Random, event_bytes: int, per_event: int, usage_bytes: int = 0) -> tuple[int, int]:
    """Return the tokens of a stream and its bytes: an event more for the role, one for the end, `[DONE]`."""
    tokens = 1 + int(rng.lognormvariate(4, 1))
    events = -(-tokens // per_event)
    text = sum(rng.choice([1, 3, 4, 5, 6, 12]) for _ in range(tokens))
    return tokens, (events + 1) * event_bytes + 60 + text + usage_bytes + 14


def error(learned: StreamSizes, rng: Random, event_bytes: int, per_event: int) -> float:
    """Return by how much 100 streams without usage are charged too much, as a part of the truth."""
    real = charged = 0.0
    for _ in range(100):
        tokens, size = a_stream(rng, event_bytes, per_event)
        real += tokens
        charged += round(learned.tokens(CHAT, StreamSize(size, 1, 0)))
    return charged / real - 1


def test_the_prior_is_a_recorded_stream():
    assert 20 == round(StreamSizes().tokens(CHAT, StreamSize(20 * 215 + 330, 1, 0)))
    assert 20 == round(StreamSizes().tokens(CHAT, StreamSize(20 * 215 + 330 + 192, 1, 1)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("event_bytes", "per_event"), [(212, 1), (150, 1), (420, 1), (230, 4), (260, 10)])
def test_streams_that_ask_for_their_usage_teach_those_that_do_not(seed: int, event_bytes: int, per_event: int):
    rng, learned = Random(seed), StreamSizes()
    for _ in range(100):
        tokens, size = a_stream(rng, event_bytes, per_event, usage_bytes=event_bytes - 20)
        learned.learn(CHAT, StreamSize(size, 1, 1), tokens)

    assert abs(error(learned, rng, event_bytes, per_event)) < 0.02


def test_sums_of_streams_teach_too():
    rng, learned = Random(7), StreamSizes()
    for _ in range(100):
        several = [a_stream(rng, 350, 1) for _ in range(rng.randint(1, 5))]
        tokens, size = (sum(each) for each in zip(*several, strict=True))
        learned.learn(CHAT, StreamSize(size, len(several), 0), tokens, streams=len(several))

    assert abs(error(learned, rng, 350, 1)) < 0.02


def test_a_stream_that_was_cut_has_its_beginning_only():
    learned = StreamSizes()
    for tokens in range(10, 210):
        learned.learn(CHAT, StreamSize(257 + 212 * tokens + 250, 1, 1), tokens)
    assert 100 == pytest.approx(learned.tokens(CHAT, StreamSize(257 + 100 * 212, 1, 0), cut=True), abs=1)
    assert 0 == round(learned.tokens(CHAT, StreamSize(257, 1, 1), cut=True))


def test_shapes_are_told_apart_and_the_latest_are_remembered():
    learned = StreamSizes()
    wide = StreamShape("/v1/chat/completions", (True, 5))
    for _ in range(100):
        learned.learn(wide, StreamSize(100_000, 1, 1), 100)
        learned.learn(CHAT, StreamSize(20_000, 1, 1), 100)
    assert [100, 100] == pytest.approx(
        [learned.tokens(wide, StreamSize(100_000, 1, 1)), learned.tokens(CHAT, StreamSize(20_000, 1, 1))], rel=0.02
    )

    for number in range(MAX_SHAPES):
        learned.learn(StreamShape("", (number,)), StreamSize(20_000, 1, 1), 100)
    assert MAX_SHAPES == len(learned._shapes)
    assert CHAT not in learned._shapes


def test_another_api_of_the_model_begins_with_what_was_learned_of_the_first():
    learned = StreamSizes()
    for tokens in range(10, 210):
        learned.learn(CHAT, StreamSize(700 + 400 * tokens, 1, 1), tokens)
    other = StreamSize(100 * 400, 1, 0)
    assert 100 == pytest.approx(learned.tokens(StreamShape("/v1/completions"), other), rel=0.03)
    assert 150 < learned.tokens(StreamShape("/v1/completions", (True,)), other)


@pytest.mark.parametrize(("size", "tokens"), [(1000, 2**31 - 1), (1_000_000, 1), (500, 0), (0, 5)])
def test_what_no_stream_can_have_teaches_nothing(size: int, tokens: int):
    learned = StreamSizes()
    before = learned.tokens(CHAT, StreamSize(5000, 1, 0))
    for _ in range(100):
        learned.learn(CHAT, StreamSize(size, 1, 0), tokens)
    assert before == learned.tokens(CHAT, StreamSize(5000, 1, 0))
