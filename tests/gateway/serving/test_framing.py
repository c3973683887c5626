"""gRPC framing, however the bytes were split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.serving.framing import MAX_MESSAGE_BYTES, Deframer, FramingError, Unfinished, frame
from gateway.serving.status import UNIMPLEMENTED


@given(st.lists(st.binary(max_size=300), max_size=6), st.data())
def test_messages_come_out_as_they_went_in_at_any_split(messages: list[bytes], data: st.DataObject):
    stream = b"".join(map(frame, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    deframer = Deframer(Unfinished())

    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    out = [message for piece in pieces for message in deframer.feed(piece)]

    assert messages == out


def test_a_compressed_message_is_refused():
    with pytest.raises(FramingError, match="compressed") as caught:
        list(Deframer(Unfinished()).feed(b"\1\0\0\0\0"))
    assert UNIMPLEMENTED == caught.value.status


def test_an_absurd_length_is_refused_before_it_is_buffered():
    with pytest.raises(FramingError, match="must be at most"):
        list(Deframer(Unfinished()).feed(b"\0" + (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big")))
