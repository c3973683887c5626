"""One client's HTTP/2 connection, seen from a gRPC server: frames in, calls told, bytes out.  No I/O.

Lives here: RFC 9113's state: streams and windows.  Not here: headers (blocks), what calls do (calls), sockets (server).
Left out because gRPC needs none of it: priorities, push, a dynamic table for what is sent.
"""

import struct
from collections.abc import Callable
from typing import Protocol

from gateway.serving.http2.blocks import HeaderBlocks
from gateway.serving.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GRPC_HEADERS,
    GRPC_OK,
    HAS_PRIORITY,
    HEAD,
    HEAD_BYTES,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LEAST_MAX_FRAME,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    MOST_MAX_FRAME,
    NO_ERROR,
    NO_TABLE,
    NOT_GRPC,
    PADDED,
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
    goaway,
    head,
    literal,
    rst_stream,
    settings,
    window_update,
)

MAX_STREAMS = 100_000
"""Concurrent calls per connection; one is open for every request that runs."""
MAX_FRAME = 256 * 1024
"""The largest frame taken: a body of 16 MB then comes in 64 pieces, and none is held twice for long."""
CREDIT_BYTES = 2**30
"""Bytes received before their window is given back: half of the window, so that it never closes."""


class Call(Protocol):
    """What a stream carries, as the connection tells it."""

    def feed(self, data: bytes) -> None:
        """Bytes of the client's messages, split anywhere."""
        ...

    def end(self) -> None:
        """The client has said everything."""
        ...

    def reset(self) -> None:
        """The client is gone; nothing can be sent any more."""
        ...


class Stream:
    """One open call."""

    __slots__ = ("call", "id", "received", "remote_open", "started", "trailers", "unsent", "window")

    def __init__(self, stream_id: int, window: int, *, remote_open: bool) -> None:
        self.id = stream_id
        self.call: Call
        self.window = window  # bytes that we may send
        self.received = 0  # bytes since the window was last given back
        self.remote_open = remote_open
        self.started = False  # response headers are out
        self.unsent = bytearray()  # waits for the window
        self.trailers: bytes | None = None  # waits for `unsent`


class Connection:
    """Feed it what arrives; send `out` whenever `flush` was called.  `open_call(path, stream)` makes a call."""

    def __init__(self, open_call: Callable[[str, Stream], Call], flush: Callable[[], None]) -> None:
        self.out: list[bytes] = [
            settings({MAX_CONCURRENT_STREAMS: MAX_STREAMS, INITIAL_WINDOW_SIZE: MAX_WINDOW, MAX_FRAME_SIZE: MAX_FRAME}),
            window_update(0, MAX_WINDOW - FIRST_WINDOW),
        ]
        self.deciding = 0
        """Calls whose answer is being worked out: what is ready may wait for theirs."""
        self._open_call = open_call
        self._flush = flush
        self._rest = b""
        self._greeted = False
        self._streams: dict[int, Stream] = {}
        self._last_stream = 0
        self._window = FIRST_WINDOW  # bytes that we may send, over all streams
        self._stream_window = FIRST_WINDOW  # of a new stream
        self._max_frame = LEAST_MAX_FRAME
        self._received = 0
        self._table_note = b""  # precedes the next header block we send
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
        """Open streams."""
        return len(self._streams)

    def receive(self, data: bytes) -> None:
        """Take what arrived.  Raises Http2Error; then send `out` and close."""
        if self._rest:
            data = self._rest + data
        position, size = 0, len(data)
        if not self._greeted:
            if PREFACE.startswith(data[: len(PREFACE)]) and size < len(PREFACE):
                self._rest = data
                return
            position = self._greet(data)
        while size - position >= HEAD_BYTES:
            high, low, kind, flags, stream = HEAD.unpack_from(data, position)
            start = position + HEAD_BYTES
            end = start + (high << 8 | low)
            if end - start > MAX_FRAME:
                raise Http2Error(FRAME_SIZE_ERROR, f"frame = {end - start} bytes, must be at most {MAX_FRAME}")
            if end > size:
                break
            position = end
            if self._blocks.unfinished is not None and kind != CONTINUATION:
                raise Http2Error(PROTOCOL_ERROR, "a header block is not finished")
            handler = self._handlers.get(kind)
            if handler is not None:  # PRIORITY, GOAWAY and what we do not know are ignored (sections 5.3.2, 4.1)
                handler(stream & MAX_WINDOW, flags, data[start:end])
        self._rest = data[position:]

    def send(self, stream: Stream, data: bytes) -> None:
        """Send framed messages on a stream that has no trailers yet; waits in memory for the client's window."""
        if not stream.started:
            stream.started = True
            self._send_headers(stream.id, END_HEADERS, GRPC_HEADERS)
        size = len(data)
        if stream.unsent or size > self._max_frame or size > stream.window or size > self._window:
            stream.unsent += data
            self._send_more(stream)
        else:
            stream.window -= size
            self._window -= size
            self.out.append(head(size, DATA, 0, stream.id) + data)
        self._flush()

    def finish(self, stream: Stream, status: int, message: bytes = b"") -> None:
        """End a stream with gRPC's status once everything before it is sent."""
        stream.trailers = literal(b"grpc-status", str(status).encode()) if status else GRPC_OK
        if message:
            stream.trailers += literal(b"grpc-message", message)
        self._send_more(stream)
        self._flush()

    def leave(self) -> None:
        """Ask the client to open no more streams here; those on their way are served (section 6.8)."""
        self.out.append(goaway(MAX_WINDOW))
        self._flush()

    def end(self, code: int = NO_ERROR, reason: str = "") -> None:
        """Tell the client which streams were served, before the connection is closed."""
        self.out.append(goaway(self._last_stream, code, reason))
        self._flush()

    def lost(self) -> None:
        """The connection is gone, and every call with it."""
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.call.reset()

    def _greet(self, data: bytes) -> int:
        if not data.startswith(PREFACE):
            raise Http2Error(PROTOCOL_ERROR, "not HTTP/2")
        self._greeted = True
        return len(PREFACE)

    def _on_data(self, stream_id: int, flags: int, payload: bytes) -> None:
        size = len(payload)
        self._received += size
        if self._received >= CREDIT_BYTES:
            self.out.append(window_update(0, self._received))
            self._received = 0
        stream = self._streams.get(stream_id)
        if stream is None:
            self._check_known(stream_id)
            return  # we ended it; these bytes were on their way
        if not stream.remote_open:
            raise Http2Error(STREAM_CLOSED, "DATA after END_STREAM")
        stream.received += size
        if stream.received >= CREDIT_BYTES:
            self.out.append(window_update(stream_id, stream.received))
            stream.received = 0
        stream.remote_open = not flags & END_STREAM
        stream.call.feed(_unpadded(payload) if flags & PADDED else payload)
        if flags & END_STREAM:
            self._end_of_client(stream)

    def _on_headers(self, stream_id: int, flags: int, payload: bytes) -> None:
        if flags & PADDED:
            payload = _unpadded(payload)
        if flags & HAS_PRIORITY:
            payload = payload[5:]
        if flags & END_HEADERS:
            self._on_block(stream_id, flags, payload)
        else:
            self._blocks.begin(stream_id, flags, payload)

    def _on_continuation(self, stream_id: int, flags: int, payload: bytes) -> None:
        whole = self._blocks.go_on(stream_id, flags, payload)
        if whole is not None:
            self._on_block(stream_id, *whole)

    def _on_block(self, stream_id: int, flags: int, block: bytes) -> None:
        path = self._blocks.path(block)  # even of a stream that is refused: the tables go on
        stream = self._streams.get(stream_id)
        remote_open = not flags & END_STREAM
        if stream is not None:  # trailers
            if remote_open or not stream.remote_open:
                raise Http2Error(PROTOCOL_ERROR, "HEADERS in the middle of a stream or after its end")
            stream.remote_open = False
            self._end_of_client(stream)
            return
        if stream_id <= self._last_stream:
            self._check_known(stream_id)
            return
        if stream_id % 2 == 0:
            raise Http2Error(PROTOCOL_ERROR, f"stream = {stream_id}, must be odd")
        self._last_stream = stream_id
        if len(self._streams) >= MAX_STREAMS:
            self.out.append(rst_stream(stream_id, REFUSED_STREAM))
        elif not path:
            self._send_last(stream_id, NOT_GRPC, remote_open=remote_open)
        else:
            stream = self._streams[stream_id] = Stream(stream_id, self._stream_window, remote_open=remote_open)
            stream.call = self._open_call(path, stream)
            if not remote_open:
                self._end_of_client(stream)

    def _end_of_client(self, stream: Stream) -> None:
        if stream.id in self._streams:  # its last message may have ended it
            stream.call.end()

    def _on_reset(self, stream_id: int, _flags: int, payload: bytes) -> None:
        if len(payload) != 4:  # noqa: PLR2004 - an error code
            raise Http2Error(FRAME_SIZE_ERROR, "RST_STREAM is not 4 bytes")
        stream = self._streams.pop(stream_id, None)
        if stream is None:
            self._check_known(stream_id)
        else:
            stream.call.reset()

    def _on_settings(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id:
            raise Http2Error(PROTOCOL_ERROR, "SETTINGS on a stream")
        if len(payload) % 6 or (flags & ACK and payload):
            raise Http2Error(FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes")
        if flags & ACK:
            return
        for key, value in struct.iter_unpack(">HI", payload):
            if key == INITIAL_WINDOW_SIZE:
                self._resize(value)
            elif key == MAX_FRAME_SIZE:
                if not LEAST_MAX_FRAME <= value <= MOST_MAX_FRAME:
                    raise Http2Error(PROTOCOL_ERROR, f"MAX_FRAME_SIZE = {value}")
                self._max_frame = value
            elif key == HEADER_TABLE_SIZE:
                self._table_note = NO_TABLE
        self.out.append(frame(SETTINGS, ACK, 0, b""))
        self._send_waiting()  # after the ACK: from there on the client counts with its new windows

    def _resize(self, window: int) -> None:
        if window > MAX_WINDOW:
            raise Http2Error(FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE = {window}")
        change, self._stream_window = window - self._stream_window, window
        for stream in self._streams.values():
            stream.window += change
            if stream.window > MAX_WINDOW:
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
            self._send_waiting()
            return
        one = self._streams.get(stream_id)
        if one is None:
            self._check_known(stream_id)
            return
        one.window += increment
        if one.window > MAX_WINDOW:
            raise Http2Error(FLOW_CONTROL_ERROR, "a window is over 2^31 - 1")
        self._send_more(one)

    def _on_ping(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id:
            raise Http2Error(PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:  # noqa: PLR2004 - opaque data
            raise Http2Error(FRAME_SIZE_ERROR, "PING is not 8 bytes")
        if not flags & ACK:
            self.out.append(frame(PING, ACK, 0, payload))

    def _on_push(self, _stream_id: int, _flags: int, _payload: bytes) -> None:
        raise Http2Error(PROTOCOL_ERROR, "PUSH_PROMISE from a client")

    def _check_known(self, stream_id: int) -> None:
        """A stream that is over may still be spoken of; one that never was may not."""
        if not stream_id or stream_id > self._last_stream:
            raise Http2Error(PROTOCOL_ERROR, f"stream {stream_id} is not open")

    def _send_headers(self, stream_id: int, flags: int, block: bytes) -> None:
        self.out.append(frame(HEADERS, flags, stream_id, self._table_note + block))
        self._table_note = b""

    def _send_last(self, stream_id: int, block: bytes, *, remote_open: bool) -> None:
        self._send_headers(stream_id, END_STREAM | END_HEADERS, block)
        if remote_open:  # the client need not go on
            self.out.append(rst_stream(stream_id, NO_ERROR))

    def _send_waiting(self) -> None:
        for stream in [stream for stream in self._streams.values() if stream.unsent]:
            self._send_more(stream)

    def _send_more(self, stream: Stream) -> None:
        """Send what the windows allow, and the trailers once nothing is left."""
        while stream.unsent:
            room = min(len(stream.unsent), self._max_frame, stream.window, self._window)
            if room <= 0:
                return
            piece = stream.unsent[:room]
            del stream.unsent[:room]
            stream.window -= room
            self._window -= room
            self.out.append(head(room, DATA, 0, stream.id) + piece)
        if stream.trailers is not None:
            del self._streams[stream.id]
            block = stream.trailers if stream.started else GRPC_HEADERS + stream.trailers
            self._send_last(stream.id, block, remote_open=stream.remote_open)


def _unpadded(payload: bytes) -> bytes:
    padding = payload[0] if payload else 0
    if not payload or padding >= len(payload):
        raise Http2Error(PROTOCOL_ERROR, "padding is longer than its frame")
    return payload[1 : len(payload) - padding]
