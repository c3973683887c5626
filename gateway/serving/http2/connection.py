"""One client's HTTP/2 connection as a state machine: bytes in, events to calls, bytes out.  No I/O.

Lives here: RFC 9113's streams and windows.  Not here: header blocks (blocks), gRPC calls (calls), sockets (server).
Left out because gRPC needs none of it: priorities, push, a dynamic table for the header blocks that are sent.
"""

import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from gateway.serving.http2.blocks import HeaderBlocks
from gateway.serving.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    EMPTY_TABLE,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_HEADER,
    FRAME_HEADER_BYTES,
    FRAME_SIZE_ERROR,
    GRPC_HEADERS,
    GRPC_OK,
    HAS_PRIORITY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_MAX_FRAME_SIZE,
    MAX_WINDOW,
    MIN_MAX_FRAME_SIZE,
    NO_ERROR,
    NOT_GRPC,
    PING,
    PREFACE,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    Http2Error,
    frame,
    frame_header,
    goaway,
    literal,
    rst_stream,
    settings,
    unpadded,
    window_update,
)

MAX_STREAMS = 100_000
"""Concurrent calls per connection (chosen: far above what one worker serves, because each running request has one)."""
MAX_FRAME_BYTES = 256 * 1024
"""The largest frame accepted (chosen): a body of 16 MB comes in 64 frames, which limits copying of incomplete ones."""
WINDOW_UPDATE_BYTES = 2**30
"""Bytes received before a WINDOW_UPDATE gives them back: half of the window, so that it never closes."""

WIDENED_PER_ID = 16
"""How often SETTINGS may let streams go on for each stream id used (chosen: clients change the window a few times)."""


class Call(Protocol):
    """A call on a stream, as the connection drives it."""

    def feed(self, data: bytes) -> None:
        """Take bytes of the client's messages, split anywhere."""
        ...

    def end(self) -> None:
        """Handle the end of the client's side of the stream; replies may follow."""
        ...

    def reset(self) -> None:
        """Handle the loss of the stream or connection; nothing can be sent any more."""
        ...


class Stream:
    """An open stream and its flow control."""

    __slots__ = ("call", "credit", "id", "received", "remote_open", "started", "trailers", "unsent")

    def __init__(self, stream_id: int, *, remote_open: bool) -> None:
        self.id = stream_id
        self.call: Call
        self.credit = 0  # bytes that may be sent beyond the initial window, which all streams share; less those sent
        self.received = 0  # bytes since the last WINDOW_UPDATE that we sent
        self.remote_open = remote_open  # the client may still send
        self.started = False  # response headers are sent
        self.unsent = bytearray()  # data that the windows do not allow yet
        self.trailers: bytes | None = None  # sent once `unsent` is empty


class Connection:
    """The state of a connection.  Call `receive` with what arrives; `flush` is called when `out` should be sent.

    `open_call(path, stream)` makes the call that a new stream carries.
    """

    def __init__(self, open_call: Callable[[str, Stream], Call], flush: Callable[[], None]) -> None:
        self.out: list[bytes] = [
            settings(
                {MAX_CONCURRENT_STREAMS: MAX_STREAMS, INITIAL_WINDOW_SIZE: MAX_WINDOW, MAX_FRAME_SIZE: MAX_FRAME_BYTES}
            ),
            window_update(0, MAX_WINDOW - DEFAULT_WINDOW),
        ]
        self.undecided_calls = 0
        """Calls that wait for a decision: bytes that are ready may wait for theirs, to leave in one write."""
        self._open_call = open_call
        self._flush = flush
        self._buffer = b""
        self.greeted = False  # the client has sent its preface
        self._streams: dict[int, Stream] = {}
        self._last_stream = 0
        self._window = DEFAULT_WINDOW  # bytes that may be sent, over all streams
        self._stream_window = DEFAULT_WINDOW  # the initial window of every stream
        self._most_credit = 0  # no stream has more
        self._waiting: OrderedDict[int, Stream] = OrderedDict()  # with unsent data, held up by this window only
        self._narrow: dict[int, Stream] = {}  # those that their own window holds up
        self._done: Stream | None = None  # whose client ended its side with the last frame
        self._widened = 0  # how often SETTINGS have let one of those go on
        self._max_frame_size = MIN_MAX_FRAME_SIZE
        self._received = 0
        self._table_update = b""  # prefix of the next header block that is sent
        self._blocks = HeaderBlocks()
        self._handlers = {
            DATA: self._on_data,
            HEADERS: self._on_headers,
            RST_STREAM: self._on_reset,
            SETTINGS: self._on_settings,
            PUSH_PROMISE: self._on_push,
            PING: self._on_ping,
            WINDOW_UPDATE: self._on_window,
            CONTINUATION: self._on_continuation,
        }

    def __len__(self) -> int:
        """The number of open streams."""
        return len(self._streams)

    def receive(self, data: bytes) -> None:
        """Handle received bytes.  Raises Http2Error: then call `go_away`, send `out` and close."""
        if self._buffer:
            data = self._buffer + data
        position, size = 0, len(data)
        if not self.greeted:
            if PREFACE.startswith(data[: len(PREFACE)]) and size < len(PREFACE):
                self._buffer = data
                return
            if not data.startswith(PREFACE):
                raise Http2Error(PROTOCOL_ERROR, "connection preface is missing")
            self.greeted, position = True, len(PREFACE)
        while size - position >= FRAME_HEADER_BYTES:
            high, low, kind, flags, stream = FRAME_HEADER.unpack_from(data, position)
            start = position + FRAME_HEADER_BYTES
            end = start + (high << 8 | low)
            if end - start > MAX_FRAME_BYTES:
                raise Http2Error(FRAME_SIZE_ERROR, f"frame = {end - start} bytes, must be at most {MAX_FRAME_BYTES}")
            if end > size:
                break
            position = end
            if self._blocks.unfinished is not None and kind != CONTINUATION:
                raise Http2Error(PROTOCOL_ERROR, "a header block is not finished")
            if self._done is not None and not (kind == RST_STREAM and stream & MAX_WINDOW == self._done.id):
                self._end_call()
            handler = self._handlers.get(kind)
            if handler is not None:  # PRIORITY, GOAWAY and unknown types are ignored (sections 5.3.2, 4.1)
                handler(stream & MAX_WINDOW, flags, data[start:end])
        self._buffer = data[position:]
        self._end_call()

    def send(self, stream: Stream, data: bytes) -> None:
        """Send framed messages before `finish`.  What the client's windows do not allow yet is kept in memory."""
        if not stream.started:
            stream.started = True
            self._send_headers(stream.id, END_HEADERS, GRPC_HEADERS)
        size = len(data)
        if stream.unsent or size > min(self._max_frame_size, self._stream_window + stream.credit, self._window):
            stream.unsent += data
            self._send_more(stream)
        else:
            stream.credit -= size
            self._window -= size
            self.out.append(frame_header(size, DATA, 0, stream.id) + data)
        self._flush()

    def finish(self, stream: Stream, status: int, message: bytes = b"") -> None:
        """End a stream with a gRPC status, once all its data is sent."""
        stream.trailers = literal(b"grpc-status", str(status).encode()) if status else GRPC_OK
        if message:
            stream.trailers += literal(b"grpc-message", message)
        self._send_more(stream)
        self._flush()

    def start_shutdown(self) -> None:
        """Ask the client to open no more streams; those that it opens before it reads this are served (section 6.8)."""
        self.out.append(goaway(MAX_WINDOW))
        self._flush()

    def go_away(self, code: int = NO_ERROR, reason: str = "") -> None:
        """Tell the client the last stream that was served, before the connection is closed."""
        self.out.append(goaway(self._last_stream, code, reason))
        self._flush()

    def on_lost(self) -> None:
        """Reset every call, because the connection is gone."""
        streams, self._streams = self._streams, {}
        self._waiting.clear()
        self._narrow.clear()
        for stream in streams.values():
            stream.call.reset()

    def _on_data(self, stream_id: int, flags: int, payload: bytes) -> None:
        size = len(payload)
        self._received += size
        if self._received >= WINDOW_UPDATE_BYTES:
            self.out.append(window_update(0, self._received))
            self._received = 0
        stream = self._streams.get(stream_id)
        if stream is None:
            self._check_was_opened(stream_id)
            return  # the client sent this before it read that the stream had ended
        if not stream.remote_open:
            raise Http2Error(STREAM_CLOSED, "DATA after END_STREAM")
        stream.received += size
        if stream.received >= WINDOW_UPDATE_BYTES:
            self.out.append(window_update(stream_id, stream.received))
            stream.received = 0
        stream.remote_open = not flags & END_STREAM
        stream.call.feed(unpadded(payload, flags))
        self._done = None if stream.remote_open else stream

    def _on_headers(self, stream_id: int, flags: int, payload: bytes) -> None:
        payload = unpadded(payload, flags)
        if flags & HAS_PRIORITY:
            payload = payload[5:]
        if flags & END_HEADERS:
            self._on_block(stream_id, flags, payload)
        else:
            self._blocks.begin_block(stream_id, flags, payload)

    def _on_continuation(self, stream_id: int, flags: int, payload: bytes) -> None:
        complete = self._blocks.continue_block(stream_id, flags, payload)
        if complete is not None:
            self._on_block(stream_id, *complete)

    def _on_block(self, stream_id: int, flags: int, block: bytes) -> None:
        path = self._blocks.path(block)  # also for a stream that is refused, to keep the table in step
        stream = self._streams.get(stream_id)
        remote_open = not flags & END_STREAM
        if stream is not None:  # trailers
            if remote_open or not stream.remote_open:
                raise Http2Error(PROTOCOL_ERROR, "HEADERS in the middle of a stream or after its end")
            stream.remote_open = False
            self._done = stream
            return
        if stream_id <= self._last_stream:
            self._check_was_opened(stream_id)
            return
        if stream_id % 2 == 0:
            raise Http2Error(PROTOCOL_ERROR, f"stream = {stream_id}, must be odd")
        self._last_stream = stream_id
        if len(self._streams) >= MAX_STREAMS:
            self.out.append(rst_stream(stream_id, REFUSED_STREAM))
        elif not path:
            self._send_last(stream_id, NOT_GRPC, remote_open=remote_open)
        else:
            stream = self._streams[stream_id] = Stream(stream_id, remote_open=remote_open)
            stream.call = self._open_call(path, stream)
            self._done = None if remote_open else stream

    def _end_call(self) -> None:
        """Handle the end of a client's side; where Envoy resets the stream right behind it, nobody reads an answer."""
        stream, self._done = self._done, None
        if stream is not None and stream.id in self._streams:  # handling its last message may have ended it
            stream.call.end()

    def _on_reset(self, stream_id: int, _flags: int, payload: bytes) -> None:
        if len(payload) != 4:  # noqa: PLR2004 - an error code
            raise Http2Error(FRAME_SIZE_ERROR, "RST_STREAM is not 4 bytes")
        stream = self._streams.pop(stream_id, None)
        self._forget(stream_id)
        if stream is None:
            self._check_was_opened(stream_id)
        else:
            stream.call.reset()

    def _on_settings(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id:
            raise Http2Error(PROTOCOL_ERROR, "SETTINGS on a stream")
        if len(payload) % 6 or (flags & ACK and payload):
            raise Http2Error(FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes")
        if flags & ACK:
            return
        before = self._stream_window
        for key, value in dict(struct.iter_unpack(">HI", payload)).items():  # of a repeated one the last counts
            if key == INITIAL_WINDOW_SIZE:
                self._set_stream_window(value)
            elif key == MAX_FRAME_SIZE:
                if not MIN_MAX_FRAME_SIZE <= value <= MAX_MAX_FRAME_SIZE:
                    raise Http2Error(PROTOCOL_ERROR, f"MAX_FRAME_SIZE = {value}")
                self._max_frame_size = value
            elif key == HEADER_TABLE_SIZE:
                self._table_update = EMPTY_TABLE
        self.out.append(frame(SETTINGS, ACK, 0, b""))
        if self._stream_window > before:  # after the ACK, from which on the client applies its new windows
            narrow, self._narrow = self._narrow, {}
            self._widened += len(narrow)
            if self._widened > WIDENED_PER_ID * self._last_stream:
                raise Http2Error(ENHANCE_YOUR_CALM, "SETTINGS change the windows of many streams too often")
            for stream in narrow.values():
                self._send_more(stream)

    def _set_stream_window(self, window: int) -> None:
        if window > MAX_WINDOW:
            raise Http2Error(FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE = {window}")
        self._stream_window = window
        if window + self._most_credit > MAX_WINDOW:  # unless that stream has sent or ended since
            self._most_credit = max([0, *(stream.credit for stream in self._streams.values())])
            if window + self._most_credit > MAX_WINDOW:
                raise Http2Error(FLOW_CONTROL_ERROR, "a window is over 2^31 - 1")

    def _on_window(self, stream_id: int, _flags: int, payload: bytes) -> None:
        if len(payload) != 4:  # noqa: PLR2004 - an increment
            raise Http2Error(FRAME_SIZE_ERROR, "WINDOW_UPDATE is not 4 bytes")
        increment = int.from_bytes(payload, "big") & MAX_WINDOW
        if not increment:
            raise Http2Error(PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        if not stream_id:
            self._window += increment
            if self._window > MAX_WINDOW:
                raise Http2Error(FLOW_CONTROL_ERROR, "the connection's window is over 2^31 - 1")
            while self._waiting and self._window > 0:  # each step sends something or takes a stream off the list
                self._send_more(self._waiting.popitem(last=False)[1])  # a dict would look for its first in linear time
            return
        stream = self._streams.get(stream_id)
        if stream is None:
            self._check_was_opened(stream_id)
            return
        stream.credit += increment
        self._most_credit = max(self._most_credit, stream.credit)
        if self._stream_window + stream.credit > MAX_WINDOW:
            raise Http2Error(FLOW_CONTROL_ERROR, "a window is over 2^31 - 1")
        self._send_more(stream)

    def _on_ping(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id:
            raise Http2Error(PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:  # noqa: PLR2004 - opaque data
            raise Http2Error(FRAME_SIZE_ERROR, "PING is not 8 bytes")
        if not flags & ACK:
            self.out.append(frame(PING, ACK, 0, payload))

    def _on_push(self, _stream_id: int, _flags: int, _payload: bytes) -> None:
        raise Http2Error(PROTOCOL_ERROR, "PUSH_PROMISE from a client")

    def _check_was_opened(self, stream_id: int) -> None:
        """Raise Http2Error for a stream that was never opened; late frames of one that is over are ignored."""
        if not stream_id or stream_id > self._last_stream:
            raise Http2Error(PROTOCOL_ERROR, f"stream {stream_id} is not open")

    def _send_headers(self, stream_id: int, flags: int, block: bytes) -> None:
        self.out.append(frame(HEADERS, flags, stream_id, self._table_update + block))
        self._table_update = b""

    def _send_last(self, stream_id: int, block: bytes, *, remote_open: bool) -> None:
        self._send_headers(stream_id, END_STREAM | END_HEADERS, block)
        if remote_open:  # the client need not send the rest
            self.out.append(rst_stream(stream_id, NO_ERROR))

    def _forget(self, stream_id: int) -> None:
        self._waiting.pop(stream_id, None)
        self._narrow.pop(stream_id, None)

    def _send_more(self, stream: Stream) -> None:
        """Send the data that the windows allow, and the trailers once none is left."""
        while stream.unsent:
            stream_room = self._stream_window + stream.credit
            room = min(len(stream.unsent), self._max_frame_size, stream_room, self._window)
            if room <= 0:
                (self._waiting if stream_room > 0 else self._narrow)[stream.id] = stream
                return
            piece = stream.unsent[:room]
            del stream.unsent[:room]
            stream.credit -= room
            self._window -= room
            self.out.append(frame_header(room, DATA, 0, stream.id) + piece)
        if stream.trailers is not None:
            del self._streams[stream.id]
            self._forget(stream.id)
            block = stream.trailers if stream.started else GRPC_HEADERS + stream.trailers
            self._send_last(stream.id, block, remote_open=stream.remote_open)
