"""Live engines measured: what the engine model says comes out, and engines that fail are an error."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from forebay.profiling.engine_meter import Asking, EngineMeter, engine_meter, prompts_of
from optimizer.input.reading import InputError
from optimizer.profiling.points import Load
from optimizer.profiling.steady import Span
from simulator.calibration.streams import NotMeasuredError, Prompts
from simulator.core.speed import steady
from tests.support.engines import an_engine
from tests.support.ports import free_address

TINY = Asking("tiny")
TEN_PER_S = steady(10)
"""Every pass takes 100 ms, so that a busy machine changes little."""


@contextlib.asynccontextmanager
async def a_meter(span: Span, **engine: object) -> AsyncIterator[EngineMeter]:
    async with an_engine(**engine) as (running, _), engine_meter(running.url, "", TINY, span, Prompts()) as (meter, _):
        yield meter


async def test_one_request_at_a_time_takes_its_passes():
    async with a_meter(Span(2), speed=TEN_PER_S) as meter:
        point = await meter.measure(Load(32, 5, concurrency=1))

    assert (0.1, 0.1, 0.5) == pytest.approx((point.mean("TTFT"), point.mean("TPOT"), point.mean("E2E")), rel=0.2)
    assert 2.0 == pytest.approx(point.mean("TPUT"), rel=0.2)


async def test_arrivals_have_their_rate_and_lengths():
    engine = an_engine(speed=TEN_PER_S)
    async with engine as (running, _), engine_meter(running.url, "", TINY, Span(40), Prompts()) as (meter, about):
        totals = running.engine.state.model.totals
        before = totals.prompt_tokens
        point = await meter.measure(Load(32, 2, 10.0))
        prompts, hits = totals.prompt_tokens - before, totals.prefix_hits

    assert (0, 0) == (prompts % 32, hits)  # exact lengths, none in a cache
    assert point.mean("TPUT") == pytest.approx(point.arrival_rate, rel=0.3)
    assert 10.0 == pytest.approx(point.mean("TPUT"), rel=0.4)
    assert {"max_model_len": 8192} == {name: about[name] for name in about if name != "kv_tokens"}
    assert about["kv_tokens"] > 8192


async def test_a_rate_that_is_too_high_ends_with_a_backlog():
    async with a_meter(Span(10, most_in_flight=30), max_running=1, speed=TEN_PER_S) as meter:
        point = await meter.measure(Load(32, 5, 100.0))

    assert point.is_backlogged


async def test_a_fixed_window_is_kept():
    async with a_meter(Span(warm_up_s=0.2, window_s=1.0), speed=TEN_PER_S) as meter:
        point = await meter.measure(Load(32, 2, 10.0))

    assert 10.0 == pytest.approx(point.mean("TPUT"), abs=5)


@pytest.mark.parametrize("load", [Load(32, 5, 50.0), Load(32, 5, concurrency=3)])
async def test_an_engine_that_refuses_everything_is_an_error(load: Load):
    async with an_engine(speed=TEN_PER_S) as (_, client):
        with pytest.raises(NotMeasuredError, match="status 404"):
            await EngineMeter(client, Asking("nope"), Span(10), Prompts()).measure(load)


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (httpx.Response(500, text="broken"), "status 500: b'broken'"),
        (httpx.Response(200, text="data: [DONE]\n\n"), "without tokens or without usage"),
    ],
    ids=["500", "no usage"],
)
async def test_an_engine_that_answers_wrongly_is_an_error(answer: httpx.Response, named: str):
    transport = httpx.MockTransport(lambda request: answer)
    async with httpx.AsyncClient(base_url="http://engine", transport=transport) as client:
        meter = EngineMeter(client, Asking("m"), Span(10), Prompts())
        with pytest.raises(NotMeasuredError, match=named):
            await meter.prepare()
        with pytest.raises(NotMeasuredError, match=named):
            await meter.measure(Load(32, 5, 50.0))


async def test_an_engine_that_is_always_busy_is_an_error():
    transport = httpx.MockTransport(lambda request: httpx.Response(503, text="full"))
    async with httpx.AsyncClient(base_url="http://engine", transport=transport) as client:
        with pytest.raises(NotMeasuredError, match="status 503: b'full'"):
            await EngineMeter(client, Asking("m"), Span(10), Prompts()).measure(Load(32, 5, 500.0))


async def test_answers_that_are_too_short_are_an_error():
    text = 'data: {"choices": [{}]}\n\ndata: {"usage": {"prompt_tokens": 32, "completion_tokens": 2}}\n\n'
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text=text))
    async with httpx.AsyncClient(base_url="http://engine", transport=transport) as client:
        with pytest.raises(NotMeasuredError, match="2 of 5 tokens: the engine does not know ignore_eos"):
            await EngineMeter(client, Asking("m"), Span(10), Prompts()).measure(Load(32, 5, 50.0))
        shorter = EngineMeter(client, Asking("m", ignores_eos=False), Span(10), Prompts())
        assert 2 == pytest.approx((await shorter.measure(Load(32, 5, 50.0))).mean("TT"), rel=100)


async def test_an_engine_that_is_away_is_an_error_with_its_url():
    url = f"http://{free_address()}"

    with pytest.raises(OSError, match=f"{url}: "):
        async with engine_meter(url, "", Asking("m"), Span(10), Prompts()):
            pass


def test_prompts_are_cut_from_a_text_or_from_rows(tmp_path: Path):
    (tmp_path / "a.txt").write_text("one two\nthree\n")
    (tmp_path / "a.jsonl").write_text('{"prompt": "one two", "output": 5}\n{"prompt": "three"}\n')

    for name in ("a.txt", "a.jsonl"):
        assert {"one", "two", "three"} == set(prompts_of(tmp_path / name).of_words(3).split()[1:])
    (tmp_path / "a.txt").write_text("\n")
    with pytest.raises(InputError, match=r"a\.txt: has no words"):
        prompts_of(tmp_path / "a.txt")
    with pytest.raises(InputError, match=r"b\.txt: cannot be read: No such file"):
        prompts_of(tmp_path / "b.txt")
