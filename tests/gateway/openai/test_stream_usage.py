import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai.members import MAX_MENTIONS
from gateway.openai.operations import Operation
from gateway.openai.request import parse_request
from gateway.openai.sse import MAX_EVENT_BYTES
from gateway.openai.stream_usage import UsageChunkFilter, with_stream_usage
from tests.support.recordings import recorded_body

CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi {}"}]}
NEEDED = {
    Operation.CHAT: {"messages": [{"role": "user", "content": "hi"}]},
    Operation.COMPLETIONS: {"prompt": "hi"},
    Operation.RESPONSES: {"input": "hi"},
    Operation.MESSAGES: {"messages": [{"role": "user", "content": "hi"}]},
    Operation.EMBEDDINGS: {"input": "hi"},
}
UNKNOWN_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
STREAMS = [
    "chat_stream_usage.http",
    "chat_stream_n2.http",
    "chat_stream_cont_usage.http",
    "completion_stream_usage.http",
]


def changed(body, operation=Operation.CHAT):
    return with_stream_usage(body, parse_request(operation, "", body))


def filtered(*chunks):
    usage_filter = UsageChunkFilter()
    return b"".join([*(usage_filter.feed(chunk) for chunk in chunks), usage_filter.finish()])


@given(
    st.dictionaries(st.text(), UNKNOWN_VALUES),
    st.sampled_from([{}, {"stream_options": None}, {"stream_options": {}}, {"stream_options": {"include_usage": False}},
                     {"stream_options": {"include_usage": None, "continuous_usage_stats": True}}]),
    st.sampled_from([0, orjson.OPT_INDENT_2]),
    st.sampled_from([b"", b" \r\n\t"]),
)  # fmt: skip
def test_the_changed_body_is_the_original_plus_the_option(unknown, options, layout, blanks):
    fields = {f"x-{name}": value for name, value in unknown.items()} | CHAT | options

    body = changed(blanks + orjson.dumps(fields, option=layout) + blanks)

    expected = {**(options.get("stream_options") or {}), "include_usage": True}
    assert {**fields, "stream_options": expected} == orjson.loads(body)


def test_without_options_no_other_byte_changes():
    body = b'\n { "stream" : true,"model":"m","prompt":"{","seed":123456789012345678901234567890, "x":1.10 }\n'

    assert (
        b'\n {"stream_options":{"include_usage":true}, "stream" : true,"model":"m","prompt":"{",'
        b'"seed":123456789012345678901234567890, "x":1.10 }\n'
    ) == changed(body, Operation.COMPLETIONS)


def test_a_client_that_asked_is_left_alone():
    assert changed(orjson.dumps({**CHAT, "stream_options": {"include_usage": True}})) is None


def test_what_is_not_streamed_is_left_alone():
    assert changed(orjson.dumps({**CHAT, "stream": False})) is None


@pytest.mark.parametrize("operation", NEEDED)
def test_only_chat_and_completions_have_the_option(operation):
    body = orjson.dumps({"model": "m", "stream": True, **NEEDED[operation]})

    assert (operation in (Operation.CHAT, Operation.COMPLETIONS)) == (changed(body, operation) is not None)


def test_a_body_that_mentions_the_option_too_often_is_left_alone():
    body = orjson.dumps({**CHAT, "stream_options": {}, "x": ["stream_options"] * MAX_MENTIONS})

    assert changed(body) is None


def test_depth_is_no_obstacle():
    deep = b"[" * 1000 + b"]" * 1000
    body = orjson.dumps({**CHAT, "stream_options": {}})[:-1] + b',"x":' + deep + b"}"

    assert body.replace(b'_options":{}', b'_options":{"include_usage":true}') == changed(body)


def test_the_changed_body_asks_like_a_client_would():
    body = changed(orjson.dumps(CHAT))

    assert parse_request(Operation.CHAT, "", body).wants_usage


@pytest.mark.parametrize("name", STREAMS)
def test_only_the_usage_chunk_is_hidden(name):
    stream = recorded_body(name)
    events = [event + b"\n\n" for event in stream.split(b"\n\n")[:-1]]

    kept = [event for event in events if b'"choices":[]' not in event]

    assert len(events) - 1 == len(kept)
    assert b"".join(kept) == filtered(stream)


@pytest.mark.parametrize(
    "name", ["chat_stream.http", "chat_stream_engine_died.http", "messages_stream.http", "responses_stream.http"]
)
def test_a_stream_without_a_usage_chunk_passes_as_it_is(name):
    assert recorded_body(name) == filtered(recorded_body(name))


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("name", STREAMS)
def test_the_same_is_hidden_wherever_the_stream_is_split(name, line_end):
    stream = recorded_body(name).replace(b"\n", line_end)
    expected = filtered(stream)

    assert expected == filtered(*[stream[at : at + 1] for at in range(len(stream))])
    for at in range(len(stream)):
        assert expected == filtered(stream[:at], stream[at:])


@given(st.sampled_from(STREAMS), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.data())
def test_the_same_is_hidden_however_the_stream_is_split(name, line_end, data):
    stream = recorded_body(name).replace(b"\n", line_end)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))

    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    assert filtered(stream) == filtered(*chunks)


def test_content_is_not_delayed():
    usage_filter = UsageChunkFilter()
    event = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'

    assert event == usage_filter.feed(event + b"data: {")


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"choices":[],"prompt_filter_results":[]}\n\n',
        b'data: {"choices":[],"usage":null}\n\n',
        b'data: {"choices":[{"delta":{"content":"\\"choices\\":[]"}}],"usage":{"prompt_tokens":1}}\n\n',
        b'data: {"choices":[{"x":{"choices":[]}}],"usage":{"prompt_tokens":1}}\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":1}\n\n',
        b'data: [{"choices":[],"usage":{}}]\n\n',
        b': {"choices":[],"usage":{"prompt_tokens":1}}\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":1},"x":"' + b"x" * MAX_EVENT_BYTES + b'"}\n\n',
    ],
)
def test_what_only_resembles_a_usage_chunk_passes(event):
    assert event == filtered(event)


@pytest.mark.parametrize(
    "event",
    [
        b'data:{"usage": {"prompt_tokens": 1}, "choices": [ ]}\n\n',
        b'id: 7\ndata: {"choices":[],\ndata: "usage":{"prompt_tokens":1}}\r\n\r\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":1}}',
    ],
)
def test_a_usage_chunk_may_be_written_in_other_ways(event):
    assert b": keep-alive\n\n" == filtered(b": keep-alive\n\n" + event)
