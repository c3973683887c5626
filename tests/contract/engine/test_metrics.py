"""Metrics under load, and what a repeated prefix does to them."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from uuid import uuid4

from tests.contract.engine.test_answers import CHAT, a_chat
from tests.support.engine_process import BATCH, EngineProcess
from tests.support.waiting import until

WAITING = 4


def test_what_exceeds_the_batch_waits_and_comes_after(engine: EngineProcess) -> None:
    made = engine.figure("vllm:generation_tokens_total")
    first_tokens = engine.figure("vllm:time_to_first_token_seconds_count")
    with ThreadPoolExecutor(BATCH + WAITING) as threads:
        bodies = [a_chat(max_tokens=100) for _ in range(BATCH + WAITING)]
        answers = [threads.submit(engine.client.post, CHAT, json=body) for body in bodies]
        until(lambda: engine.load() == (BATCH, WAITING))
        assert WAITING == engine.figure("vllm:num_requests_waiting_by_reason", reason="capacity")
        assert 0 < engine.figure("vllm:kv_cache_usage_perc") < 1

        assert {200} == {answer.result().status_code for answer in answers}

    until(lambda: engine.load() == (0, 0))
    assert 0 == engine.figure("vllm:kv_cache_usage_perc")
    assert (BATCH + WAITING) * 100 == engine.figure("vllm:generation_tokens_total") - made
    assert BATCH + WAITING == engine.figure("vllm:time_to_first_token_seconds_count") - first_tokens


def test_the_headers_of_a_stream_that_waits_are_sent_at_once_and_who_leaves_waits_no_more(
    engine: EngineProcess,
) -> None:
    body = a_chat(stream=True, max_tokens=7000)
    with ExitStack() as streams:
        opened = [streams.enter_context(engine.client.stream("POST", CHAT, json=body)) for _ in range(BATCH + 1)]
        assert {200} == {answer.status_code for answer in opened}
        until(lambda: engine.load() == (BATCH, 1))

    until(lambda: engine.load() == (0, 0))


def test_aborted_requests_are_no_successes(engine: EngineProcess) -> None:
    before = engine.figure("vllm:request_success_total")
    with engine.client.stream("POST", CHAT, json=a_chat(stream=True, max_tokens=7000)) as answer:
        pieces = answer.iter_raw()
        next(pieces)
    until(lambda: engine.load() == (0, 0))

    assert before == engine.figure("vllm:request_success_total")


def test_a_repeated_prefix_hits_the_cache_in_whole_blocks(engine: EngineProcess) -> None:
    names = [f"vllm:prefix_cache_{what}_total" for what in ("queries", "hits")]
    chat = a_chat(messages=[{"role": "user", "content": f"{uuid4()} " * 40}])
    before = [engine.figure(name) for name in names]

    tokens = [engine.client.post(CHAT, json=chat).json()["usage"]["prompt_tokens"] for _ in range(2)]

    queries, hits = (engine.figure(name) - was for name, was in zip(names, before, strict=True))
    assert sum(tokens) == queries
    assert (tokens[0] - 1) // engine.block_tokens * engine.block_tokens == hits
