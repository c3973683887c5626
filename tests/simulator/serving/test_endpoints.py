import asyncio
import base64
import contextlib
import struct
from pathlib import Path

import httpx
import openai
import pytest

from simulator.core.speed import steady
from tests.support.engines import STOPPED, a_chat, an_engine, figure, until_figure
from tests.support.polling import until
from tests.support.shapes import Answer, events, read_recording, shape

RECORDINGS = Path(__file__).parents[1] / "recordings"
CHAT = "/v1/chat/completions"
EVERYWHERE = {"include_usage": True, "continuous_usage_stats": True}
RUNNING, WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"


def recorded(name):
    return read_recording(RECORDINGS / f"{name}.http")


def told(answer):
    """The headers that an engine chooses."""
    return {name: answer.headers.get(name) for name in ("server", "content-type", "vary", "transfer-encoding", "allow")}


async def ask(client, path, body):
    response = await client.post(path, json=body)
    return Answer(response.status_code, dict(response.headers), response.content)


async def test_a_stream_says_the_same_as_the_whole_answer_one_token_per_event():
    async with an_engine() as (_, client):
        whole = (await ask(client, CHAT, a_chat(max_tokens=40))).json
        stream = (await ask(client, CHAT, a_chat(max_tokens=40, stream=True, stream_options=EVERYWHERE))).events

    chunks = [event for event in stream if event != "[DONE]" and event["choices"]]
    assert whole["choices"][0]["message"]["content"] == "".join(c["choices"][0]["delta"]["content"] for c in chunks)
    assert list(range(41)) == [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert whole["usage"]["total_tokens"] == stream[-2]["usage"]["total_tokens"]


async def test_what_is_not_json_is_refused_as_recorded():
    theirs = recorded("err_content_type")
    async with an_engine() as (_, client):
        ours = await client.post(CHAT, content=b"hello", headers={"content-type": "text/plain"})

    assert (theirs.status, theirs.json) == (ours.status_code, ours.json())


async def test_the_same_seed_gives_the_same_answers_and_ids_and_another_seed_does_not():
    async def answers(seed):
        async with an_engine(seed=seed) as (_, client):
            bodies = [(await ask(client, CHAT, a_chat(max_tokens=n))).json for n in (8, 20)]
        return [(body["id"], body["choices"]) for body in bodies]

    assert await answers(1) == await answers(1)
    assert await answers(1) != await answers(2)


async def test_the_headers_of_a_stream_do_not_wait_for_its_first_token():
    async with an_engine(speed=STOPPED) as (_, client), client.stream("POST", CHAT, json=a_chat(stream=True)) as reply:
        assert 200 == reply.status_code
        assert 0 == await figure(client, "vllm:time_to_first_token_seconds_count")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_frees_its_slot_and_the_next_gets_it(stream):
    async with an_engine(speed=steady(50), max_running=1) as (_, client):
        body = a_chat(stream=stream, max_tokens=8000)
        requests = [asyncio.create_task(client.post(CHAT, json=body)) for _ in range(3)]
        await until_figure(client, 2, WAITING)
        assert 1 == await figure(client, RUNNING)

        requests[0].cancel()
        await until_figure(client, 1, WAITING)
        assert 1 == await figure(client, RUNNING)

        for request in requests:
            request.cancel()
        await until_figure(client, 0, RUNNING)
        assert 0 == await figure(client, WAITING)
        assert 0 == await figure(client, "vllm:request_success_total")
        await asyncio.wait(requests)


async def test_a_stream_cut_by_its_client_midway_makes_no_more_tokens():
    async with an_engine() as (_, client):
        await client.post("/sim/speed", json={"tokens_per_s": 100})
        async with client.stream("POST", CHAT, json=a_chat(stream=True, max_tokens=8000)) as reply:
            async for _ in reply.aiter_raw():
                break
        await until_figure(client, 0, RUNNING)
        made = await figure(client, "vllm:generation_tokens_total")
        await client.post(CHAT, json=a_chat(max_tokens=1))

        assert 0 < made < 8000
        assert made + 1 == await figure(client, "vllm:generation_tokens_total")


async def test_a_full_queue_answers_503_without_retry_after():
    async with an_engine(speed=STOPPED, max_running=1, max_waiting=0) as (_, client):
        first = asyncio.create_task(client.post(CHAT, json=a_chat()))
        await until_figure(client, 1, RUNNING)

        refused = await client.post(CHAT, json=a_chat(stream=True))
        first.cancel()

        assert (503, "Service Unavailable") == (refused.status_code, refused.json()["error"]["type"])
        assert "retry-after" not in refused.headers


async def test_a_repeated_prompt_hits_the_prefix_cache():
    chat = a_chat(messages=[{"role": "user", "content": "x" * 1000}])
    async with an_engine() as (_, client):
        for _ in range(2):
            await ask(client, CHAT, chat)

        assert 256 == await figure(client, "vllm:prefix_cache_hits_total")  # of 257: full blocks


async def embed(client, **body):
    return (await ask(client, "/v1/embeddings", {"model": "tiny"} | body)).json


async def test_embeddings_come_as_numbers_or_base64_of_the_asked_size():
    async with an_engine() as (_, client):
        numbers = await embed(client, input=["one two", "three"], dimensions=8)
        encoded = await embed(client, input="one two", dimensions=8, encoding_format="base64")

    assert [0, 1] == [item["index"] for item in numbers["data"]]
    vector = struct.unpack("<8f", base64.b64decode(encoded["data"][0]["embedding"]))
    assert numbers["data"][0]["embedding"] == list(vector)
    assert {"prompt_tokens": 4, "total_tokens": 4, "completion_tokens": 0, "prompt_tokens_details": None} == numbers[
        "usage"
    ]


async def fault(client, kind, **options):
    response = await client.post("/sim/fault", json={"kind": kind} | options)
    assert 200 == response.status_code, response.text


async def test_an_error_on_demand_is_the_recorded_one_and_happens_once():
    theirs = recorded("death_nonstream")
    async with an_engine() as (_, client):
        await fault(client, "error")
        ours = await ask(client, CHAT, a_chat(stream=True))
        after = await ask(client, CHAT, a_chat())

    assert (theirs.status, theirs.json, told(theirs)) == (ours.status, ours.json, told(ours))
    assert 200 == after.status


async def test_dying_in_mid_stream_ends_with_the_recorded_error_event_under_status_200():
    theirs = recorded("chat_stream_engine_died")
    async with an_engine() as (_, client):
        await fault(client, "die_mid_stream", after_tokens=3)
        ours = await ask(client, CHAT, a_chat(stream=True, max_tokens=50))

    assert (theirs.status, told(theirs)) == (ours.status, told(ours))
    assert [shape(event) for event in theirs.events] == [shape(event) for event in ours.events]
    assert theirs.events[-2:] == ours.events[-2:]


async def test_dying_under_a_request_that_does_not_stream_answers_500():
    async with an_engine() as (_, client):
        await fault(client, "die_mid_stream", after_tokens=3)

        assert 500 == (await ask(client, CHAT, a_chat(max_tokens=50))).status


async def test_a_cut_stream_ends_without_its_end_after_the_asked_tokens():
    received = bytearray()
    async with an_engine() as (_, client):
        await fault(client, "cut", after_tokens=4)
        with pytest.raises(httpx.RemoteProtocolError):
            async with client.stream("POST", CHAT, json=a_chat(stream=True, max_tokens=50)) as reply:
                async for piece in reply.aiter_raw():
                    received += piece
        await until_figure(client, 0, RUNNING)

    assert 1 + 4 == len(events(bytes(received)))


async def test_a_connection_closed_as_the_request_comes_gives_no_byte():
    async with an_engine() as (_, client):
        await fault(client, "close_idle")
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await ask(client, CHAT, a_chat())

        assert 200 == (await ask(client, CHAT, a_chat())).status


async def test_a_stalled_stream_sends_nothing_more_until_its_client_leaves():
    async with an_engine() as (_, client):
        await fault(client, "stall", after_tokens=2)
        async with client.stream("POST", CHAT, json=a_chat(stream=True)) as reply:
            pieces = reply.aiter_raw()
            received = bytearray()
            while received.count(b"data: ") < 3:
                received += await anext(pieces)
            more = asyncio.ensure_future(anext(pieces))
            await until_figure(client, 5, "vllm:generation_tokens_total")  # the engine is done, the stream is not

            assert not more.done()
            more.cancel()
            await asyncio.wait([more])


async def test_never_answering_sends_no_headers_and_ends_when_the_client_leaves():
    async with an_engine(speed=STOPPED) as (_, client):
        await fault(client, "never_answer")
        request = asyncio.create_task(client.post(CHAT, json=a_chat(stream=True)))
        await until_figure(client, 1, RUNNING)

        assert not request.done()
        request.cancel()
        await until_figure(client, 0, RUNNING)


async def test_a_slow_answer_comes_late_but_whole():
    loop = asyncio.get_running_loop()
    async with an_engine() as (_, client):
        await fault(client, "slow", delay_s=0.2)
        asked_s = loop.time()
        ours = await ask(client, CHAT, a_chat())

    assert 200 == ours.status
    assert loop.time() - asked_s >= 0.2


async def test_death_of_the_engine_ends_running_streams_with_the_error_event():
    async with an_engine(speed=STOPPED) as (running, client):
        async with client.stream("POST", CHAT, json=a_chat(stream=True)) as reply:
            running.engine.die()
            body = await reply.aread()

        assert recorded("chat_stream_engine_died").events[-2:] == events(body)
        assert 500 == (await ask(client, CHAT, a_chat())).status
        assert 503 == (await client.get("/health")).status_code


async def test_a_crash_in_mid_stream_ends_every_stream_and_the_engine_comes_back_empty():
    chat = a_chat(messages=[{"role": "user", "content": "x" * 1000}])
    async with an_engine() as (_, client):
        await client.post("/sim/speed", json={"tokens_per_s": 200})
        other = asyncio.create_task(ask(client, CHAT, a_chat(stream=True, max_tokens=8000)))
        await until_figure(client, 1, RUNNING)
        await fault(client, "crash", after_tokens=3, delay_s=0.01)
        ours = await ask(client, CHAT, chat | {"stream": True, "max_tokens": 4000})
        await until_answers(client)
        after = await ask(client, CHAT, chat)

        assert [500, 500] == [answer.events[-2]["error"]["code"] for answer in (ours, await other)]
        assert 1 + 3 + 2 == len(ours.events)
        assert (200, 0) == (after.status, await figure(client, "vllm:prefix_cache_hits_total"))


async def until_answers(client):
    async def answers():
        with contextlib.suppress(httpx.TransportError):
            return (await client.get("/health")).status_code == 200
        return False

    await until(answers)


async def test_the_openai_client_works_unchanged():
    async with an_engine() as (running, _), openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none") as client:
        messages = [{"role": "user", "content": "Say this is a test!"}]
        chat = await client.chat.completions.create(model="tiny", messages=messages, temperature=0.7)
        stream = await client.chat.completions.create(
            model="tiny", messages=messages, stream=True, max_tokens=9, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        completion = await client.completions.create(model="tiny", prompt="Hello", max_tokens=3)
        embedding = await client.embeddings.create(model="tiny", input="Hello", dimensions=4)
        models = await client.models.list()
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="nope", messages=messages)

    assert ("stop", True) == (chat.choices[0].finish_reason, bool(chat.choices[0].message.content))
    assert 9 == chunks[-1].usage.completion_tokens
    assert "length" == chunks[-2].choices[0].finish_reason
    assert 3 == completion.usage.completion_tokens
    assert 4 == len(embedding.data[0].embedding)
    assert ["tiny"] == [model.id for model in models.data]
