"""A connection as a state machine: a client's bytes in, events to calls and bytes out."""

import struct
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.serving.http2 import connection as module
from gateway.serving.http2.connection import MAX_FRAME_BYTES
from gateway.serving.http2.frames import (
    ACK,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    EMPTY_TABLE,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HAS_PRIORITY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    MAX_MAX_FRAME_SIZE,
    MAX_WINDOW,
    MIN_MAX_FRAME_SIZE,
    NO_ERROR,
    PADDED,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    Http2Error,
    frame,
    rst_stream,
    settings,
    window_update,
)
from tests.support.http2 import HELLO, Answer, Frame, block, data, frames_of, opened
from tests.support.http2_client import DEAF, ECHO, Client


def test_the_server_sends_its_settings_first_and_opens_its_windows():
    first, second, third = frames_of(Client().greeting)
    assert (SETTINGS, 0) == (first.kind, first.flags)
    assert {3: 100_000, INITIAL_WINDOW_SIZE: MAX_WINDOW, MAX_FRAME_SIZE: MAX_FRAME_BYTES} == dict(
        struct.iter_unpack(">HI", first.payload)
    )
    assert Frame(WINDOW_UPDATE, 0, 0, (MAX_WINDOW - DEFAULT_WINDOW).to_bytes(4, "big")) == second
    assert Frame(SETTINGS, ACK, 0, b"") == third


def test_a_call_gets_what_its_client_sends_and_its_end():
    client = Client()
    answer = Answer(client.sends(opened(1, ECHO), data(1, b"hi"), data(1, b"", end=True)))
    assert [(ECHO, 1, b""), ("fed", 1, b"hi"), ("fed", 1, b""), ("ended", 1, b"")] == client.told
    assert (b"hi", "0", True, []) == (answer.data, answer.status, answer.ended, answer.reset)
    assert [{":status": "200", "content-type": "application/grpc"}, {"grpc-status": "0"}] == answer.headers
    assert 0 == len(client.connection)


PLAYBOOK = (
    settings({INITIAL_WINDOW_SIZE: 3, MAX_FRAME_SIZE: 16_384}),
    opened(1, ECHO),
    data(1, b"hello"),
    frame(HEADERS, END_STREAM, 3, block(ECHO)[:7]) + frame(CONTINUATION, END_HEADERS, 3, block(ECHO)[7:]),
    frame(PING, 0, 0, b"12345678"),
    window_update(1, 100),
    frame(DATA, PADDED | END_STREAM, 1, b"\x03world\0\0\0"),
    opened(5, DEAF),
    rst_stream(5, 8),
    opened(7, "/unknown", end=True),
)


def run(pieces: list[bytes]) -> tuple[list[tuple[str, int]], bytes, bytes]:
    """The events and bytes of each call, and all bytes that were sent."""
    client = Client(hello=b"")
    for piece in pieces:
        client.connection.receive(piece)
    told = [(what, stream) for what, stream, _ in client.told if what != "fed"]
    return told, client.fed(1), client.sent()


@given(st.data())
def test_the_same_bytes_split_anywhere_give_the_same_calls_and_output(drawn: st.DataObject):
    whole = HELLO + b"".join(PLAYBOOK)
    cuts = sorted(drawn.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    pieces = [whole[start:end] for start, end in pairwise([0, *cuts, len(whole)])]
    assert run([whole]) == run(pieces) == run([bytes((byte,)) for byte in whole])


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=12))))
def test_nonsense_raises_nothing_but_a_protocol_error(nonsense: list[tuple[int, int, int, bytes]]):
    client = Client()
    with suppress(Http2Error):
        client.sends(opened(1, ECHO))
        for one in nonsense:
            client.sends(frame(*one))
    client.connection.on_lost()
    assert 0 == len(client.connection)


@pytest.mark.parametrize("hello", [b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", b"x"])
def test_a_client_that_does_not_speak_http2_is_refused(hello: bytes):
    assert PROTOCOL_ERROR == Client(hello=b"").fails(hello)


@pytest.mark.parametrize("padding", [0, 1, 255])
def test_padding_is_taken_off(padding: int):
    client, filler = Client(), bytes(padding)
    client.sends(frame(HEADERS, END_HEADERS | PADDED, 1, bytes((padding,)) + block(DEAF) + filler))
    client.sends(frame(DATA, PADDED, 1, bytes((padding,)) + b"x" + filler))
    assert [(DEAF, 1, b""), ("fed", 1, b"x")] == client.told


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x05abc"])
def test_padding_longer_than_its_frame_is_refused(payload: bytes):
    assert PROTOCOL_ERROR == Client().fails(opened(1), frame(DATA, PADDED, 1, payload))


def test_priorities_are_taken_and_ignored():
    client = Client()
    client.sends(
        frame(PRIORITY, 0, 1, bytes(5)),
        frame(HEADERS, END_HEADERS | HAS_PRIORITY | PADDED, 1, b"\x02" + bytes(5) + block(DEAF) + bytes(2)),
        frame(0x10, 0xFF, 77, b"priority update, or whatever comes"),
    )
    assert [(DEAF, 1, b"")] == client.told


def test_nothing_may_come_between_the_pieces_of_a_header_block():
    client = Client()
    client.sends(frame(HEADERS, 0, 1, block()[:4]))
    assert PROTOCOL_ERROR == client.fails(frame(PING, 0, 0, bytes(8)))


def test_trailers_end_the_client_s_side():
    client = Client()
    answer = Answer(client.sends(opened(1, ECHO), data(1, b"x"), frame(HEADERS, END_HEADERS | END_STREAM, 1, block())))
    assert (("ended", 1, b""), "0", []) == (client.told[-1], answer.status, answer.reset)


def test_headers_in_the_middle_of_a_stream_are_refused():
    assert PROTOCOL_ERROR == Client().fails(opened(1), frame(HEADERS, END_HEADERS, 1, block()))


@pytest.mark.parametrize(("late", "code"), [(data(1, b"x"), STREAM_CLOSED), (opened(1, end=True), PROTOCOL_ERROR)])
def test_nothing_may_come_after_the_end_of_a_stream(late: bytes, code: int):
    assert code == Client().fails(opened(1, DEAF, end=True), late)


def test_a_ping_is_answered_and_an_answer_is_not():
    assert [Frame(PING, ACK, 0, b"abcdefgh")] == frames_of(Client().sends(frame(PING, 0, 0, b"abcdefgh")))
    assert b"" == Client().sends(frame(PING, ACK, 0, bytes(8)), frame(SETTINGS, ACK, 0, b""))


def test_a_smaller_header_table_is_acknowledged_in_the_next_block():
    client = Client()
    client.sends(opened(1, ECHO), data(1, b"x"), settings({HEADER_TABLE_SIZE: 0}))
    (trailers,) = [one for one in frames_of(client.sends(data(1, b"", end=True))) if one.kind == HEADERS]
    assert trailers.payload.startswith(EMPTY_TABLE)
    after = [one for one in frames_of(client.sends(opened(3, ECHO, end=True))) if one.kind == HEADERS]
    assert not after[0].payload.startswith(EMPTY_TABLE)


def test_an_answer_that_comes_before_the_client_is_done_asks_it_to_stop():
    client = Client()
    client.sends(opened(1, DEAF))
    client.connection.finish(client.streams[1], 12, b"no")
    answer = Answer(client.sent())
    assert [{":status": "200", "content-type": "application/grpc", "grpc-status": "12", "grpc-message": "no"}] == (
        answer.headers
    )
    assert [NO_ERROR] == answer.reset
    assert b"" == client.sends(data(1, b"it was on its way", end=True), rst_stream(1, 8), window_update(1, 9))


def test_what_is_no_grpc_call_is_an_unsupported_media_type():
    client = Client()
    sent = client.sends(frame(HEADERS, END_HEADERS, 1, block(content_type="text/plain")), data(1, b"x", end=True))
    assert ([{":status": "415"}], True, [NO_ERROR]) == (Answer(sent).headers, Answer(sent).ended, Answer(sent).reset)
    assert [] == client.told


def test_a_stream_is_reset_once_and_sends_no_more():
    client = Client()
    client.sends(opened(1, DEAF), rst_stream(1, 8), rst_stream(1, 8))
    assert [(DEAF, 1, b""), ("reset", 1, b"")] == client.told
    assert 0 == len(client.connection)


def test_a_stream_that_is_reset_right_behind_its_end_gets_no_answer():
    client = Client()
    client.sends(opened(1, ECHO), opened(3, ECHO), data(1, b"x"), data(3, b"y"))
    assert b"" == client.sends(data(1, b"", end=True) + rst_stream(1, 2))
    assert ("reset", 1, b"") == client.told[-1]
    answer = Answer(client.sends(data(3, b"", end=True) + rst_stream(1, 2)), 3)  # of another stream
    assert (("ended", 3, b""), "0") == (client.told[-1], answer.status)
    assert 0 == len(client.connection)


def test_a_lost_connection_resets_every_call():
    client = Client()
    client.sends(opened(1, DEAF), opened(3, DEAF), opened(5, ECHO, end=True))
    client.connection.on_lost()
    assert [("reset", 1, b""), ("reset", 3, b"")] == client.told[-2:]


def test_a_server_that_shuts_down_says_so_and_serves_streams_on_their_way():
    client = Client()
    client.connection.start_shutdown()
    assert [Frame(GOAWAY, 0, 0, struct.pack(">II", MAX_WINDOW, NO_ERROR))] == frames_of(client.sent())
    answer = Answer(client.sends(opened(1, ECHO, end=True)))
    assert "0" == answer.status

    client.connection.go_away()

    assert [Frame(GOAWAY, 0, 0, struct.pack(">II", 1, NO_ERROR))] == frames_of(client.sent())


def test_a_client_that_sends_goaway_keeps_its_streams():
    client = Client()
    client.sends(opened(1, ECHO), frame(GOAWAY, 0, 0, bytes(8)))
    assert b"x" == Answer(client.sends(data(1, b"x"))).data


def test_more_streams_than_allowed_are_refused_and_may_be_tried_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_STREAMS", 1)
    client = Client()
    assert [REFUSED_STREAM] == Answer(client.sends(opened(1, DEAF), opened(3, ECHO)), 3).reset
    assert "0" == Answer(client.sends(rst_stream(1, 8), data(3, b"x"), opened(5, ECHO, end=True)), 5).status


def test_a_stream_id_that_was_skipped_counts_as_closed():
    client = Client()
    assert b"" == client.sends(opened(7, DEAF), opened(5, DEAF), data(3, b"x"))
    assert [(DEAF, 7, b"")] == client.told


IDLE: dict[str, Callable[[int], bytes]] = {
    "data": lambda stream: data(stream, b"x"),
    "reset": lambda stream: rst_stream(stream, 8),
    "window": lambda stream: window_update(stream, 1),
}


@pytest.mark.parametrize("kind", IDLE)
def test_frames_of_a_stream_that_was_never_opened_are_refused(kind: str):
    assert PROTOCOL_ERROR == Client().fails(opened(1), IDLE[kind](3))


@pytest.mark.parametrize(("code", "bad"), [
    (FRAME_SIZE_ERROR, frame(RST_STREAM, 0, 1, b"abc")),
    (FRAME_SIZE_ERROR, frame(WINDOW_UPDATE, 0, 1, b"abc")),
    (FRAME_SIZE_ERROR, frame(PING, 0, 0, b"abc")),
    (FRAME_SIZE_ERROR, frame(SETTINGS, 0, 0, b"abc")),
    (FRAME_SIZE_ERROR, frame(SETTINGS, ACK, 0, bytes(6))),
    (FRAME_SIZE_ERROR, (MAX_FRAME_BYTES + 1).to_bytes(3, "big") + bytes(6)),
    (PROTOCOL_ERROR, frame(PING, 0, 1, bytes(8))),
    (PROTOCOL_ERROR, frame(SETTINGS, 0, 1, b"")),
    (PROTOCOL_ERROR, settings({MAX_FRAME_SIZE: MIN_MAX_FRAME_SIZE - 1})),
    (PROTOCOL_ERROR, settings({MAX_FRAME_SIZE: MAX_MAX_FRAME_SIZE + 1})),
    (FLOW_CONTROL_ERROR, settings({INITIAL_WINDOW_SIZE: MAX_WINDOW + 1})),
    (PROTOCOL_ERROR, window_update(1, 0)),
    (PROTOCOL_ERROR, frame(PUSH_PROMISE, 0, 1, bytes(4))),
    (PROTOCOL_ERROR, frame(CONTINUATION, END_HEADERS, 1, b"")),
    (PROTOCOL_ERROR, opened(2)),
    (PROTOCOL_ERROR, opened(0)),
    (COMPRESSION_ERROR, frame(HEADERS, END_HEADERS, 3, b"\xff\xff\xff")),
])  # fmt: skip
def test_what_breaks_the_protocol_ends_the_connection_with_the_code_that_says_why(code: int, bad: bytes):
    assert code == Client().fails(opened(1, DEAF), bad)
