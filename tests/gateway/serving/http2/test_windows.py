"""Flow control: how much may be sent, and when sending resumes."""

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.serving.http2 import connection as module
from gateway.serving.http2.connection import MAX_FRAME_BYTES, Stream
from gateway.serving.http2.frames import (
    ACK,
    DATA,
    DEFAULT_WINDOW,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    PADDED,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    settings,
    window_update,
)
from tests.support.http2 import Answer, Frame, data, frames_of, opened
from tests.support.http2_client import DEAF, ECHO, Client


def test_the_server_sends_its_settings_first_and_opens_its_windows():
    first, second, third = frames_of(Client().greeting)
    assert (SETTINGS, 0) == (first.kind, first.flags)
    assert {3: 100_000, INITIAL_WINDOW_SIZE: MAX_WINDOW, MAX_FRAME_SIZE: MAX_FRAME_BYTES} == dict(
        struct.iter_unpack(">HI", first.payload)
    )
    assert Frame(WINDOW_UPDATE, 0, 0, (MAX_WINDOW - DEFAULT_WINDOW).to_bytes(4, "big")) == second
    assert Frame(SETTINGS, ACK, 0, b"") == third


def lengths(sent: bytes) -> list[int]:
    """The payload lengths of the DATA frames."""
    return [len(one.payload) for one in frames_of(sent) if one.kind == DATA]


def test_a_window_stops_what_is_sent_and_its_update_lets_it_go_on():
    client = Client(PREFACE + settings({INITIAL_WINDOW_SIZE: 4}))
    first = client.sends(opened(1, ECHO), data(1, b"0123456789", end=True))
    assert (b"0123", False) == (Answer(first).data, Answer(first).ended)

    second, third = client.sends(window_update(1, 5)), client.sends(window_update(1, 5))

    assert (b"45678", False) == (Answer(second).data, Answer(second).ended)
    assert (b"9", True) == (Answer(third).data, Answer(third).ended)


def test_the_connection_s_window_counts_over_all_streams():
    client = Client()
    size = DEFAULT_WINDOW - 10
    client.sends(opened(1, ECHO), data(1, bytes(size)))
    assert 10 == sum(lengths(client.sends(opened(3, ECHO), data(3, bytes(30)), opened(5, ECHO), data(5, b"x"))))

    assert [20, 1] == lengths(client.sends(window_update(0, 100)))
    assert [79 - 20] == lengths(client.sends(window_update(1, 1000), window_update(3, 9), data(3, bytes(59))))


def test_a_window_that_shrinks_below_zero_must_be_refilled_first():
    client = Client(PREFACE + settings({INITIAL_WINDOW_SIZE: 10}))
    client.sends(opened(1, ECHO), data(1, bytes(8)))
    assert [] == lengths(client.sends(settings({INITIAL_WINDOW_SIZE: 3}), data(1, bytes(4))))  # 10 - 8 - 7 = -5

    assert [] == lengths(client.sends(window_update(1, 5)))
    assert [1] == lengths(client.sends(window_update(1, 1)))
    assert [3] == lengths(client.sends(settings({INITIAL_WINDOW_SIZE: 20})))


def test_new_windows_are_acknowledged_before_they_are_used():
    client = Client(PREFACE + settings({INITIAL_WINDOW_SIZE: 0}))
    client.sends(opened(1, ECHO), data(1, b"x"))
    sent = frames_of(client.sends(settings({INITIAL_WINDOW_SIZE: 1})))
    assert [(SETTINGS, ACK), (DATA, 0)] == [(one.kind, one.flags) for one in sent]


@pytest.mark.parametrize(("allowed", "expected"), [(16_384, [16_384, 16_384, 7_232]), (20_000, [20_000, 20_000])])
def test_no_frame_is_larger_than_the_client_takes(allowed: int, expected: list[int]):
    client = Client(PREFACE + settings({MAX_FRAME_SIZE: allowed}))
    assert expected == lengths(client.sends(opened(1, ECHO), data(1, bytes(40_000))))


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.data())
def test_all_that_is_sent_arrives_in_order_whatever_the_windows_do(messages: list[bytes], drawn: st.DataObject):
    client = Client(PREFACE + settings({INITIAL_WINDOW_SIZE: drawn.draw(st.integers(0, 60))}))
    sent = client.sends(opened(1, ECHO))
    for message in messages:
        sent += client.sends(data(1, message))
        if drawn.draw(st.booleans()):
            sent += client.sends(settings({INITIAL_WINDOW_SIZE: drawn.draw(st.integers(0, 60))}))
    sent += client.sends(data(1, b"", end=True))

    sent += client.sends(settings({INITIAL_WINDOW_SIZE: 1000}))

    assert (b"".join(messages), True) == (Answer(sent).data, Answer(sent).ended)


def test_what_was_received_is_given_back_before_the_windows_close(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "WINDOW_UPDATE_BYTES", 10)
    client = Client()
    assert b"" == client.sends(opened(1, DEAF), data(1, bytes(9)))
    sent = frames_of(client.sends(frame(DATA, PADDED, 1, b"\x01x\0")))  # padding counts (section 6.9.1)
    assert {(WINDOW_UPDATE, 0, 12), (WINDOW_UPDATE, 1, 12)} == {
        (one.kind, one.stream, int.from_bytes(one.payload, "big")) for one in sent
    }


@pytest.mark.parametrize("stream", [0, 1])
def test_a_window_beyond_its_largest_is_refused(stream: int):
    assert FLOW_CONTROL_ERROR == Client().fails(opened(1, DEAF), window_update(stream, MAX_WINDOW))


def test_a_setting_that_widens_a_window_beyond_its_largest_is_refused():
    client = Client()
    client.sends(opened(1, DEAF), window_update(1, MAX_WINDOW - DEFAULT_WINDOW))
    assert FLOW_CONTROL_ERROR == client.fails(settings({INITIAL_WINDOW_SIZE: DEFAULT_WINDOW + 1}))


class Watched(dict[int, Stream]):
    """Streams of a connection that count how often all of them are walked over."""

    walks = 0

    def values(self):  # type: ignore[no-untyped-def]  # dict's own
        self.walks += 1
        return super().values()


def watched(client: Client) -> Watched:
    streams = client.connection._streams = Watched(client.connection._streams)
    return streams


def test_many_settings_do_not_walk_over_all_streams():
    client = Client()
    client.sends(*(opened(stream, DEAF) for stream in range(1, 99, 2)))
    streams = watched(client)

    windows = [struct.pack(">HI", INITIAL_WINDOW_SIZE, DEFAULT_WINDOW - at) for at in range(1000)]
    client.sends(frame(SETTINGS, 0, 0, b"".join(windows)), *(frame(SETTINGS, 0, 0, window) for window in windows))

    assert 0 == streams.walks


def widened(client: Client, times: int) -> list[bytes]:
    """Close the windows of all streams and let one byte through, so often; the frames that do it."""
    window = client.connection._stream_window
    return [settings({INITIAL_WINDOW_SIZE: window + at}) for at in range(1, times + 1)]


def test_settings_that_let_many_streams_go_on_again_and_again_are_refused():
    client = Client(PREFACE + settings({INITIAL_WINDOW_SIZE: 0}))
    client.sends(*(opened(stream, ECHO) + data(stream, bytes(99)) for stream in range(1, 200, 2)))

    assert [1] * 100 == lengths(client.sends(*widened(client, 1)))
    assert ENHANCE_YOUR_CALM == client.fails(*widened(client, 98))


def test_a_few_streams_may_be_let_go_on_often():
    client = Client(PREFACE + settings({INITIAL_WINDOW_SIZE: 0}))
    client.sends(*(opened(stream, DEAF) for stream in range(1, 200, 2)), opened(201, ECHO), data(201, bytes(999)))

    assert [1] * 900 == lengths(client.sends(*widened(client, 900)))


def test_updates_of_the_connection_s_window_do_not_walk_over_all_streams():
    client = Client()
    client.sends(frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, MAX_WINDOW)))
    client.sends(opened(1, ECHO), data(1, bytes(DEFAULT_WINDOW)))
    client.sends(*(opened(stream, ECHO) + data(stream, b"xx") for stream in range(3, 99, 2)))
    streams = watched(client)

    pieces = [lengths(client.sends(window_update(0, 1))) for _ in range(200)]

    assert ([[1]] * 96, 0) == ([piece for piece in pieces if piece], streams.walks)


def test_an_update_that_lets_all_waiting_streams_go_takes_linear_time():
    def seconds(streams: int) -> float:
        client = Client()
        client.sends(opened(1, ECHO), data(1, bytes(DEFAULT_WINDOW)))
        client.sends(*(opened(stream, ECHO) + data(stream, b"x") for stream in range(3, 2 * streams, 2)))
        start_s = time.process_time()
        client.sends(window_update(0, streams))
        return time.process_time() - start_s

    # Quadratic time would be 256 times as long, and the slack is for a busy machine.
    assert seconds(32_000) < 64 * min(seconds(2_000) for _ in range(3))


def test_credit_that_was_used_up_no_longer_bounds_the_window():
    client = Client()
    client.sends(opened(1, ECHO), window_update(1, 20), data(1, bytes(20)))
    widest = struct.pack(">HI", INITIAL_WINDOW_SIZE, MAX_WINDOW)

    assert client.sends(frame(SETTINGS, 0, 0, widest))
    assert FLOW_CONTROL_ERROR == client.fails(window_update(1, 1), opened(3, DEAF), window_update(3, 1))


def test_a_stream_that_ends_while_it_waits_is_forgotten():
    client = Client()
    client.sends(frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, MAX_WINDOW)))
    client.sends(opened(1, ECHO), data(1, bytes(DEFAULT_WINDOW)), opened(3, ECHO), data(3, b"x"))
    client.sends(frame(RST_STREAM, 0, 3, bytes(4)))

    assert {} == client.connection._waiting
    assert [] == lengths(client.sends(window_update(0, 9)))
