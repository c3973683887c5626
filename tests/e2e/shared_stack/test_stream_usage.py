"""The charge of a stream, and the part of its usage that a client sees, however the engine cuts its bytes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
import openai
import orjson
import pytest

from tests.support.own_engine import OwnEngine, Reply
from tests.support.recordings import recorded_body
from tests.support.stack import PROMPT, Stack, on

pytestmark = on("http2-metadata", "http2-ext_proc", "http2-full_duplex")

STREAM = recorded_body("chat_stream_usage.http")
"""Four events with text, and one with the usage: 6 tokens of prompt, 4 of output."""
END = STREAM.rindex(b"data:", 0, STREAM.rindex(b"data: [DONE]"))
"""The bytes with which the event with the usage begins."""
WITHOUT_USAGE = STREAM[:END] + STREAM[STREAM.rindex(b"data: [DONE]") :]
SSE = {"content-type": "text/event-stream; charset=utf-8"}


def hides(stack: Stack) -> bool:
    return "response_mode: ext_proc" in (stack.data / "forebay.yaml").read_text()


def cut_at(body: bytes, places: Sequence[int]) -> tuple[bytes, ...]:
    return tuple(body[start:end] for start, end in zip((0, *places), (*places, len(body)), strict=True))


def streamed(stack: Stack, user: str, **changes: object) -> bytes:
    with stack.stream(user, model="own", **changes) as answer:
        return answer.read()


@pytest.mark.parametrize(
    "places",
    [
        (),
        range(END - 3, len(STREAM)),  # every byte of the usage and of the end alone
        range(END - 2, len(STREAM), 7),
        (END + 1,),
        (END - 1,),  # inside the blank line before it
        (len(STREAM) - 1,),
    ],
    ids=["whole", "bytes", "sevens", "after its first byte", "before its blank line", "last byte"],
)
def test_usage_split_anywhere_is_charged_exactly_and_hidden_where_it_can_be(
    stack: Stack, own: OwnEngine, places: Sequence[int]
):
    user = stack.user()
    own.answer = lambda _: Reply(headers=SSE, pieces=cut_at(STREAM, places))

    told = streamed(stack, user)

    assert (WITHOUT_USAGE if hides(stack) else STREAM) == told
    stack.uses(user, 1, 10)


def test_a_client_that_asks_for_the_usage_gets_every_byte(stack: Stack, own: OwnEngine):
    own.answer = lambda _: Reply(headers=SSE, pieces=cut_at(STREAM, range(5, len(STREAM), 41)))

    assert STREAM == streamed(stack, stack.user(), stream_options={"include_usage": True})


def test_a_stream_without_usage_is_charged_by_its_events_or_their_bytes(stack: Stack, own: OwnEngine):
    """Events are counted where they pass through the gateway; elsewhere bytes tell, and those that end it count too."""
    user = stack.user()
    own.answer = lambda _: Reply(headers=SSE, pieces=(WITHOUT_USAGE,))

    assert WITHOUT_USAGE == streamed(stack, user)

    stack.settled()
    requests, tokens = stack.usage(user)
    prompt = range(1, 17)  # estimated: 24 bytes, at what this model's other prompts taught
    output = range(4, 5) if hides(stack) else range(3, 9)
    assert (1, True) == (requests, prompt[0] + output[0] <= tokens <= prompt[-1] + output[-1]), tokens


@contextmanager
def client(stack: Stack, user: str) -> Iterator[openai.OpenAI]:
    with httpx.Client(trust_env=False) as http:
        base_url = stack.variables["GATEWAY"] + "/v1"
        yield openai.OpenAI(base_url=base_url, api_key="none", default_headers={"user": user}, http_client=http)


def test_the_canonical_loop_of_the_official_client_works(stack: Stack):
    with client(stack, stack.user()) as mine:
        chat = mine.chat.completions.create(model=stack.model, messages=PROMPT, max_tokens=5, stream=True)
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chat)
        completion = mine.completions.create(model=stack.model, prompt="Once", max_tokens=5, stream=True)
        told = "".join(chunk.choices[0].text for chunk in completion)

    assert said
    assert told


@pytest.mark.parametrize("body", [WITHOUT_USAGE, STREAM, b"data: {}\n\n", b": ping\n\n" + WITHOUT_USAGE + b"x"])
@pytest.mark.parametrize("asks", [None, {"include_usage": True}, {"include_usage": False}])
def test_a_client_sees_the_bytes_of_the_engine_where_nothing_was_asked_for_it(
    stack: Stack, own: OwnEngine, body: bytes, asks: object
):
    own.answer = lambda _: Reply(headers=SSE, pieces=cut_at(body, range(3, len(body), 37)))

    told = streamed(stack, stack.user(), stream_options=asks)

    if not hides(stack) or asks == {"include_usage": True}:
        assert body == told


CACHED = {"input_tokens": 3, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 20}
START = {"type": "message_start", "message": {"id": "m", "role": "assistant", "usage": {**CACHED, "output_tokens": 1}}}
DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}}


def events(*each: dict[str, object]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), orjson.dumps(event)) for event in each)


@pytest.mark.parametrize(
    "last",
    [
        DELTA,
        {**DELTA, "usage": {**CACHED, "output_tokens": 15}},
        {**DELTA, "usage": {"input_tokens": 3, "output_tokens": 15}},
        {**DELTA, "usage": {"input_tokens": 3, "output_tokens": 15, "cache_read_input_tokens": None}},
    ],
    ids=["output", "everything", "without caches", "null"],
)
def test_a_message_stream_is_charged_what_was_read_from_caches_and_written_to_them(
    stack: Stack, own: OwnEngine, last: dict[str, object]
):
    user = stack.user()
    own.answer = lambda _: Reply(headers=SSE, pieces=(events(START, last, {"type": "message_stop"}),))
    body = {"model": "own", "max_tokens": 20, "messages": PROMPT, "stream": True}

    assert 200 == stack.post("/v1/messages", user, body).status_code

    stack.uses(user, 1, 1023 + 15)


def test_a_whole_message_is_charged_what_was_read_from_caches_and_written_to_them(stack: Stack, own: OwnEngine):
    user = stack.user()
    usage = {**CACHED, "output_tokens": 15}
    own.answer = lambda _: Reply(
        headers={"content-type": "application/json"},
        body=orjson.dumps({"type": "message", "content": [{"type": "text", "text": "hi"}], "usage": usage}),
    )

    assert 200 == stack.post("/v1/messages", user, {"model": "own", "max_tokens": 9, "messages": PROMPT}).status_code

    stack.uses(user, 1, 1023 + 15)
