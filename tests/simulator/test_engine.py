import asyncio

import pytest

from simulator.engine import ClientGoneError, Engine, EngineDiedError, QueueFullError, Token, Work
from simulator.tokens import encode
from simulator.writing import Writer
from tests.support.engines import FAST, STOPPED, a_profile
from tests.support.polling import until

WRITER = Writer(0)


def an_engine(**changes):
    return Engine(a_profile(**changes), lambda: 1_000.0)


def some_work(tokens=4):
    prompt = encode("Hello")
    return Work(prompt, WRITER.compose(prompt, 0, tokens, natural_end=False))


def load(engine):
    """(running, waiting) as /metrics says."""
    lines = engine.exposition().decode().splitlines()
    names = ("vllm:num_requests_running{", "vllm:num_requests_waiting{")
    return tuple(int(float(line.split()[-1])) for name in names for line in lines if line.startswith(name))


async def test_tokens_of_all_choices_arrive_in_order_and_then_the_generation_ends():
    engine = an_engine()

    tokens = [token async for token in engine.generate("tiny", (some_work(2), some_work(3)))]

    assert [0, 1] == [token.position for token in tokens if token.choice == 0]
    assert [0, 1, 2] == [token.position for token in tokens if token.choice == 1]
    assert 5 == len(tokens)
    assert (0, 0) == load(engine)


async def test_an_embedding_gives_one_sign_of_completion():
    assert [Token(0, 0)] == [token async for token in an_engine().generate("tiny", (Work(encode("x")),))]


async def test_a_full_batch_shows_as_waiting():
    engine = an_engine(max_running=2, speed=STOPPED)
    for _ in range(5):
        engine.generate("tiny", (some_work(),))

    assert (2, 3) == load(engine)


async def test_an_abort_frees_the_slot_for_the_next_at_once():
    engine = an_engine(max_running=1, speed=STOPPED)
    first, _ = engine.generate("tiny", (some_work(),)), engine.generate("tiny", (some_work(),))
    assert (1, 1) == load(engine)

    first.abort()

    assert (1, 0) == load(engine)
    assert [] == [token async for token in first]


async def test_a_full_queue_refuses_and_submits_nothing():
    engine = an_engine(max_running=1, max_waiting=1, speed=STOPPED)
    for _ in range(2):
        engine.generate("tiny", (some_work(),))

    with pytest.raises(QueueFullError):
        engine.generate("tiny", (some_work(),))

    assert (1, 1) == load(engine)


async def test_no_queue_at_all_still_serves_what_can_run_now():
    engine = an_engine(max_running=1, max_waiting=0, speed=STOPPED)
    engine.generate("tiny", (some_work(),))

    with pytest.raises(QueueFullError):
        engine.generate("tiny", (some_work(),))


async def test_death_ends_every_generation_and_refuses_new_ones():
    engine = an_engine(speed=STOPPED)
    generation = engine.generate("tiny", (some_work(),))

    engine.die()

    with pytest.raises(EngineDiedError):
        await anext(generation)
    with pytest.raises(EngineDiedError):
        engine.generate("tiny", (some_work(),))
    assert (0, 0) == load(engine)


async def test_a_generation_that_finished_is_not_touched_by_death():
    engine = an_engine()
    generation = engine.generate("tiny", (some_work(1),))
    tokens = [token async for token in generation]
    generation.abort()

    engine.die()

    assert [Token(0, 0)] == tokens
    assert [] == [token async for token in generation]


async def test_an_interruption_is_waited_for_past_all_tokens():
    generation = an_engine().generate("tiny", (some_work(2),))
    waiting = asyncio.create_task(generation.interruption())
    await until(lambda: not generation.open)

    generation.put(ClientGoneError())

    with pytest.raises(ClientGoneError):
        await waiting


async def test_a_new_speed_wakes_what_waits_for_its_token():
    engine = an_engine(speed=STOPPED)
    generation = engine.generate("tiny", (some_work(2),))

    engine.set_speed(FAST)

    async with asyncio.timeout(20):
        assert 2 == len([token async for token in generation])
