import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai.engine_errors import EngineError
from gateway.openai.sse import MAX_EVENT_BYTES
from gateway.openai.usage import SseUsageParser, TokenUsage, parse_usage
from tests.support.recordings import recorded_body

RECORDED_STREAMS = {  # usage, error, chunks with content
    "chat_stream.http": (None, None, 4),
    "chat_stream_usage.http": (TokenUsage(6, 4, None, 10), None, 4),
    "chat_stream_cont_usage.http": (TokenUsage(6, 4, None, 10), None, 4),
    "chat_stream_n2.http": (TokenUsage(6, 4, None, 10), None, 4),
    "chat_stream_tool_calls.txt": (TokenUsage(7, 139, None, 146), None, 15),
    "chat_stream_engine_died.http": (None, EngineError.ENGINE, 3),
    "completion_stream_usage.http": (TokenUsage(5, 4, None, 9), None, 4),
    "messages_stream.http": (TokenUsage(6, 3), None, 2),
    "responses_stream.http": (TokenUsage(6, 3, 0, 9), None, 1),
    "sse_keepalive_3.txt": (None, None, 2),
}


def parsed(*chunks):
    parser = SseUsageParser()
    for chunk in chunks:
        parser.feed(chunk)
    parser.finish()
    return parser


def facts(parser):
    return parser.usage, parser.error, parser.content_chunks


def pieces_of(body, size):
    return [body[at : at + size] for at in range(0, len(body), size)]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 6, "completion_tokens": 4, "total_tokens": 10}, TokenUsage(6, 4, None, 10)),
        ({"input_tokens": 6, "output_tokens": 4}, TokenUsage(6, 4)),
        ({"prompt_tokens": 6, "total_tokens": 6}, TokenUsage(6, 0, None, 6)),
        ({"prompt_tokens": 6.0, "completion_tokens": 4.0}, TokenUsage(6, 4)),
        ({"total_tokens": 9}, TokenUsage(reported_total=9)),
        ({"output_tokens": 4}, TokenUsage(None, 4)),
        ({"prompt_tokens": 6}, TokenUsage(6)),
        ({"prompt_tokens": 6, "total_tokens": 3}, TokenUsage(6, None, None, 3)),
        ({"prompt_tokens": 6, "completion_tokens": -1}, TokenUsage(6)),
        ({"prompt_tokens": None, "input_tokens": 6}, TokenUsage(6)),
        ({"prompt_tokens": 6, "prompt_tokens_details": {"cached_tokens": 4}}, TokenUsage(6, None, 4)),
        ({"input_tokens": 6, "input_tokens_details": {"cached_tokens": 0}}, TokenUsage(6, None, 0)),
        ({"prompt_tokens": 6, "prompt_tokens_details": {"cached_tokens": "4"}}, TokenUsage(6)),
        ({"prompt_tokens": 6.0, "cached_tokens": 4.0}, TokenUsage(6, None, 4)),
        ({"prompt_tokens": 6, "prompt_tokens_details": [4]}, TokenUsage(6)),
        ({"input_tokens": 6, "cache_read_input_tokens": 90, "output_tokens": 4}, TokenUsage(96, 4, 90, None, 90)),
        ({"input_tokens": 6, "cache_creation_input_tokens": 5}, TokenUsage(11, None, None, None, 5)),
        (
            {"input_tokens": 6, "cache_read_input_tokens": 0, "cache_creation_input_tokens": None},
            TokenUsage(6, None, 0, None, 0),
        ),
        ({"prompt_tokens": 96, "cache_read_input_tokens": 90}, TokenUsage(96)),
        ({"cache_read_input_tokens": 90.0}, TokenUsage(None, None, 90, None, 90)),
        (
            {"input_tokens": 96, "input_tokens_details": {"cached_tokens": 90}, "total_tokens": 99},
            TokenUsage(96, 3, 90, 99),
        ),
        ({"type": "tokens", "input_tokens": 14, "input_token_details": {"audio_tokens": 14}}, TokenUsage(14)),
    ],
)
def test_usage_is_read_by_either_name_and_unknown_parts_stay_unknown(usage, expected):
    assert expected == parse_usage(usage)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        [],
        "6",
        6,
        {"type": "duration", "seconds": 7},
        {"prompt_tokens": "6"},
        {"total_tokens": True},
        {"output_tokens": 1.5},
        {"a": 1},
    ],
)
def test_what_holds_no_count_is_no_usage(usage):
    assert parse_usage(usage) is None


@pytest.mark.parametrize(
    ("usage", "total"),
    [
        (TokenUsage(6, 4), 10),
        (TokenUsage(6, 4, None, 11), 11),
        (TokenUsage(6), None),
        (TokenUsage(None, 4), None),
        (TokenUsage(reported_total=9), 9),
    ],
)
def test_the_total_is_the_engines_or_the_sum_of_known_parts(usage, total):
    assert total == usage.total_tokens


def test_a_later_usage_counts_with_what_only_the_earlier_one_told():
    assert TokenUsage(6, 4, 2) == TokenUsage(6, 0, 2, 6).updated(TokenUsage(None, 4))
    assert TokenUsage(7, 5, 3, 12) == TokenUsage(6, 4, 2, 10).updated(TokenUsage(7, 5, 3, 12))


START = {"input_tokens": 3, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 5, "output_tokens": 1}


@pytest.mark.parametrize(
    ("later", "prompt"),
    [
        ({"output_tokens": 9}, 98),
        ({"input_tokens": 3, "output_tokens": 9}, 98),
        ({**START, "output_tokens": 9}, 98),
        ({"cache_read_input_tokens": 40, "cache_creation_input_tokens": 0, "output_tokens": 9}, 43),
        ({"input_tokens": 4, "cache_read_input_tokens": 40, "output_tokens": 9}, 44),
    ],
)
def test_what_was_read_from_caches_and_written_to_them_counts_however_the_events_repeat_it(later, prompt):
    first, last = parse_usage(START), parse_usage(later)
    assert first is not None
    assert last is not None
    assert (prompt, 9, prompt + 9) == (*first.updated(last)[:2], first.updated(last).total_tokens)


@pytest.mark.parametrize("name", RECORDED_STREAMS)
def test_a_recorded_stream_is_understood(name):
    assert RECORDED_STREAMS[name] == facts(parsed(recorded_body(name)))


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("name", RECORDED_STREAMS)
def test_a_recorded_stream_is_understood_split_at_every_byte(name, line_end):
    stream = recorded_body(name).replace(b"\n", line_end)

    for size in (1, 2, 7, 100):
        assert RECORDED_STREAMS[name] == facts(parsed(*pieces_of(stream, size)))
    for at in range(0, len(stream), 1 + len(stream) // 500):
        assert RECORDED_STREAMS[name] == facts(parsed(stream[:at], stream[at:]))


@given(st.sampled_from([*RECORDED_STREAMS]), st.data())
def test_a_recorded_stream_is_understood_split_anywhere(name, data):
    stream = recorded_body(name).replace(b"data: ", data.draw(st.sampled_from([b"data: ", b"data:"])))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))

    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    assert RECORDED_STREAMS[name] == facts(parsed(*chunks))


@pytest.mark.parametrize(
    ("stream", "usage"),
    [
        (b'data:{"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n', TokenUsage(1, 2)),
        (b'data: {"usage":{"prompt_tokens":1,\ndata: "completion_tokens":2}}\n\n', TokenUsage(1, 2)),
        (b'\xef\xbb\xbfdata: {"usage":{"prompt_tokens":1,"completion_tokens":2},"choices":[{}]}\n\n', TokenUsage(1, 2)),
        (b'data: {"usage":{"prompt_tokens":1,"completion_tokens":2}}', TokenUsage(1, 2)),
        (b'data: {"usage":{"prompt_tokens":1,"completion_tokens":2}}\r\r', TokenUsage(1, 2)),
        (b'data: {"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\ndata: {"usage":null}\n\n', TokenUsage(1, 2)),
        (b'data: {"usage":null}\n\n', None),
        (b'data: {"usage":{"prompt_tokens":1\n\n', None),
        (b'data: ["usage"]\n\n', None),
        (b'data: "usage"\n\n', None),
        (b'data: {"message":"usage","response":3}\n\n', None),
        (b': {"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n', None),
        (b'data: {"choices":[{"delta":{"content":"\\"usage\\":{\\"prompt_tokens\\":1}"}}]}\n\n', None),
        (b"", None),
    ],
)
def test_usage_is_found_where_it_is_and_nowhere_else(stream, usage):
    assert usage == parsed(stream).usage


def test_parts_of_anthropics_usage_come_in_two_events():
    start = b'data: {"type":"message_start","message":{"usage":{"input_tokens":25,"output_tokens":1}}}\n\n'
    delta = b'event: message_delta\ndata: {"type":"message_delta","delta":{},"usage":{"output_tokens":15}}\n\n'

    assert TokenUsage(25, 1) == parsed(start).usage
    assert TokenUsage(25, 15) == parsed(start, delta).usage


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (b'data: {"error": {"message": "died", "code": 503}}', EngineError.ENGINE),
        (b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}', EngineError.UNSAID),
        (b"event: error\ndata: out of memory", EngineError.UNSAID),
        (b'event:error\r\ndata: {"error":{"code":400}}', EngineError.CALLER),
        (b'data: {"choices":[{"delta":{"content":"\\nevent: error\\n\\"error\\":1"}}]}', None),
        (b"event: errors\ndata: {}", None),
    ],
)
def test_an_error_inside_a_stream_is_seen_whatever_its_shape(event, error):
    stream = b'data: {"choices":[]}\n\n' + event + b"\n\n" + b"data: [DONE]\n\n"

    assert error == parsed(stream).error


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b'{"choices": [{"index": 0, "delta": {"content": "a"}}]}', 1),
        (b'{"choices":[{"delta":{"role":"assistant","content":"a"}}]}', 1),
        (b'{"choices":[{"delta":{"role":"assistant"}}]}', 0),
        (b'{"choices":[{"delta":{"role":"assistant","content":"","reasoning_content":null}}]}', 0),
        (b'{"choices":[{"index":0,"text":"a"}]}', 1),
        (b'{"choices":[]}', 0),
        (b'{"type":"response.reasoning_text.delta","delta":"a"}', 1),
        (b'{"type":"ping"}', 0),
    ],
)
def test_chunks_with_content_are_counted_to_estimate_what_was_produced(data, content):
    assert content == parsed(b"data: " + data + b"\n\n").content_chunks


def test_an_event_that_is_too_long_is_not_read():
    huge = b'data: {"usage":{"prompt_tokens":1,"completion_tokens":2},"x":"' + b"x" * MAX_EVENT_BYTES + b'"}\n\n'

    parser = parsed(*pieces_of(huge, 65_536), b'data: {"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n')

    assert TokenUsage(3, 4) == parser.usage


@pytest.mark.parametrize("tokens", [1e300, 2**31, -1])
def test_a_count_that_cannot_be_is_no_report(tokens):
    assert parse_usage({"prompt_tokens": tokens}) is None
