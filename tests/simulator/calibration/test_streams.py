"""Streamed completions of a live engine: their times, prompts that no cache has, refusals."""

import asyncio

import httpx
import pytest

from simulator.calibration.streams import BusyError, NotMeasuredError, Prompts, Stream, client_of, stream
from simulator.core.speed import steady
from tests.support.engines import an_engine

ASKED = {"model": "tiny", "max_tokens": 5, "ignore_eos": True}


def clock() -> float:
    return asyncio.get_running_loop().time()


async def test_the_times_of_a_stream_are_those_of_its_tokens():
    async with an_engine(speed=steady(50)) as (running, _), client_of(running.url, "") as client:
        found = await stream(client, ASKED | {"prompt": Prompts().ids(40)}, clock)

    assert (40, 5, 5) == (found.prompt_tokens, found.output_tokens, len(found.chunks_s))
    assert found.sent_s < found.chunks_s[0] <= found.chunks_s[-1]
    assert found.chunks_s[-1] - found.chunks_s[0] > 0.07


async def test_a_refusal_says_why():
    one = an_engine(max_running=1, max_waiting=0, speed=steady(1))
    async with one as (running, _), client_of(running.url, "") as client:
        with pytest.raises(NotMeasuredError, match="status 404"):
            await stream(client, ASKED | {"model": "nope", "prompt": "a"}, clock)
        held = [asyncio.create_task(stream(client, ASKED | {"prompt": "a"}, clock)) for _ in range(3)]
        done, _ = await asyncio.wait(held, return_when=asyncio.FIRST_EXCEPTION)
        assert any(isinstance(task.exception(), BusyError) for task in done)
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)


@pytest.mark.parametrize(
    "lines",
    [
        'data: {"choices": [{"text": "a"}]}\n\ndata: [DONE]\n\n',
        'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}\n\n',
    ],
    ids=["no usage", "no tokens"],
)
async def test_a_stream_that_tells_too_little_is_an_error(lines: str):
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text=lines))
    async with httpx.AsyncClient(base_url="http://engine", transport=transport) as client:
        with pytest.raises(NotMeasuredError, match="without tokens or without usage"):
            await stream(client, ASKED | {"prompt": "a"}, clock)


def test_pieces_count_for_as_many_tokens_as_they_hold():
    assert 4 == Stream(0.0, chunks_s=[1.0, 2.0, 3.0], output_tokens=6).tokens_by(2.0)


def test_prompts_begin_differently_and_have_their_length():
    prompts = Prompts()
    prompts.tokens_per_word = 2.0

    texts = {prompts.of_tokens(100) for _ in range(50)}
    prompts.has_ids = True

    assert 50 == len({text.split()[0] for text in texts})
    assert {51} == {len(text.split()) for text in texts}
    assert [7, 7] == [len(prompts.of_tokens(7)) for _ in range(2)]


def test_a_text_keeps_its_order():
    words = Prompts(tuple("abcdefgh"), is_text=True).of_words(8).split()[1:]

    assert "".join(words) in "abcdefgh" * 2
