import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai.sse import FEW_MARKS, MAX_EVENT_BYTES, EventSplitter, Piece, data_of

LINES = st.lists(st.sampled_from([b"data: a", b"data:b", b": c", b"", b""]))
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def split(*chunks):
    splitter = EventSplitter()
    pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)]
    return pieces + splitter.finish()


def events_by_the_standard(stream):
    """The data of every event, as the standard says it: line by line, dispatched at blank lines and at the end."""
    events, data = [], []
    for line in [*re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf")), b""]:
        if line == b"":
            if data:
                events.append(b"\n".join(data))
            data = []
        elif line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
    return events


@st.composite
def streams(draw):
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + b"".join(line + draw(ENDS) for line in draw(LINES))


@given(streams(), st.data())
def test_any_stream_gives_its_events_however_it_is_split(stream, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    pieces = split(*chunks)

    assert stream == b"".join(piece.raw for piece in pieces)
    assert pieces == split(stream)
    assert all(piece.complete for piece in pieces)
    found = [data_of(piece.raw) for piece in pieces]
    assert events_by_the_standard(stream) == [data for data in found if data is not None]


@given(streams(), st.data())
def test_marked_events_come_alone_and_the_others_together(stream, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    splitter = EventSplitter((re.compile(b"b"), re.compile(b": c")))

    pieces = [
        piece
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for piece in splitter.feed(stream[start:end])
    ] + splitter.finish()

    assert stream == b"".join(piece.raw for piece in pieces)
    for raw, complete, marked in pieces:
        assert complete
        assert marked == (b"b" in raw or b": c" in raw)
        assert not marked or 1 == len([one for one in split(raw) if one.raw.strip(b"\r\n")])
    found = [event for raw, *_ in pieces for event in events_by_the_standard(raw)]
    assert events_by_the_standard(stream) == found


def test_of_many_marked_events_the_first_and_the_last_come_alone():
    splitter = EventSplitter((re.compile(b"mark"),), bytes_per_mark=1 << 20)

    pieces = splitter.feed(b"".join(b"data: mark %d\n\n" % number for number in range(100)))

    assert [True] * FEW_MARKS + [False, True] == [piece.marked for piece in pieces]
    assert b"data: mark 99\n\n" == pieces[-1].raw


def test_a_complete_event_comes_out_at_once():
    splitter = EventSplitter()

    assert [Piece(b"data: a\n\n", complete=True)] == splitter.feed(b"data: a\n\ndata:")
    assert [Piece(b"data: b\r\n\r\n", complete=True)] == splitter.feed(b" b\r\n\r\n")


def test_a_carriage_return_waits_for_the_line_feed_that_may_follow():
    splitter = EventSplitter()

    assert [] == splitter.feed(b"data: a\r\n\r")
    assert [Piece(b"data: a\r\n\r\n", complete=True)] == splitter.feed(b"\n")


def test_the_end_of_the_stream_ends_its_last_event():
    splitter = EventSplitter()
    splitter.feed(b"data: a")

    assert [Piece(b"data: a", complete=True)] == splitter.finish()
    assert [] == splitter.finish()


@pytest.mark.parametrize(
    ("size", "marks"), [*[(size, None) for size in (7, 1000, 100_000, 10_000_000)], (7, ()), (1000, ()), (100_000, ())]
)
def test_an_event_that_is_too_long_passes_in_parts(size, marks):
    stream = b"data: a\n\n" + b"data: " + b"x" * (2 * MAX_EVENT_BYTES) + b"\n\ndata: b\n\n"
    splitter = EventSplitter(marks)
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]

    pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)]

    assert stream == b"".join(piece.raw for piece in pieces)
    assert [b"data: a\n\n", b"data: b\n\n"] == [piece.raw for piece in pieces if piece.complete]


@pytest.mark.parametrize("split_at", [0, MAX_EVENT_BYTES - 1, MAX_EVENT_BYTES])
@pytest.mark.parametrize(("length", "complete"), [(MAX_EVENT_BYTES, True), (MAX_EVENT_BYTES + 1, False)])
def test_the_longest_event_is_the_same_however_it_is_split(length, complete, split_at):
    event = b"data: " + b"x" * (length - 8) + b"\n\n"

    assert complete == all(piece.complete for piece in split(event[:split_at], event[split_at:]))


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: a\n\n", b"a"),
        (b"data:a\r\n\r\n", b"a"),
        (b"data:  a\n\n", b" a"),
        (b"event: x\ndata: a\nid: 1\ndata: b\n\n", b"a\nb"),
        (b"\xef\xbb\xbfdata: a\n\n", b"a"),
        (b"\ndata: a\n\n", b"a"),
        (b"data:\n\n", b""),
        (b": keep-alive\n\n", None),
        (b"event: x\n\n", None),
        (b"\n", None),
    ],
)
def test_the_data_of_an_event_is_its_data_lines_joined(event, data):
    assert data == data_of(event)
