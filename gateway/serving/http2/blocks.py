"""The header blocks that a client sends: a gRPC server needs only the path of the method that is called.

Lives here: blocks split over frames, HPACK (RFC 7541, by the library), and a cache of decoded blocks.
From its second call on, Envoy sends the same few bytes every time, which leave HPACK's dynamic table unchanged.  Such a
block is looked up in the cache, at a hundredth of the cost of decoding, until the table changes.
"""

from hpack import Decoder, HPACKError

from gateway.serving.http2.frames import COMPRESSION_ERROR, END_HEADERS, PROTOCOL_ERROR, Http2Error

MAX_HEADER_BLOCK_BYTES = 8 * 1024
"""The largest header block, over all its frames; a gRPC client's has some 200 bytes, and decoding takes some 2 us per
byte (chosen: gRPC's own servers take as much)."""
MAX_CACHED_BLOCKS = 64
"""Decoded blocks kept: a client sends one per method, unless it varies its headers (chosen)."""


class HeaderBlocks:
    """Turns the payloads of HEADERS and CONTINUATION frames into paths."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._paths: dict[bytes, str] = {}  # by block, of those that leave the dynamic table as it is now
        self.unfinished: tuple[int, int, bytes] | None = None
        """An incomplete block: stream id, flags of its HEADERS, bytes so far.  Only CONTINUATION may follow (RFC 9113,
        section 6.10)."""

    def begin_block(self, stream_id: int, flags: int, payload: bytes) -> None:
        """Take a HEADERS frame without END_HEADERS."""
        _check_size(payload)
        self.unfinished = (stream_id, flags, payload)

    def continue_block(self, stream_id: int, flags: int, payload: bytes) -> tuple[int, bytes] | None:
        """Take a CONTINUATION frame.  Return the flags of its HEADERS and the block, or None until it is complete."""
        if self.unfinished is None or self.unfinished[0] != stream_id:
            raise Http2Error(PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        _, first_flags, beginning = self.unfinished
        block = beginning + payload
        _check_size(block)
        if flags & END_HEADERS:
            self.unfinished = None
            return first_flags, block
        self.unfinished = (stream_id, first_flags, block)
        return None

    def path(self, block: bytes) -> str:
        """Return the `:path` of a gRPC call, empty for other requests.  Needs every block: any may change the table."""
        path = self._paths.get(block)
        if path is not None:
            return path
        _check_size(block)
        table = self._decoder.header_table
        before = table.maxsize, list(table.dynamic_entries)
        try:
            headers = dict(self._decoder.decode(block, raw=True))
        except HPACKError as error:
            raise Http2Error(COMPRESSION_ERROR, str(error)) from error
        is_grpc = headers.get(b"content-type", b"").startswith(b"application/grpc")
        path = headers.get(b":path", b"").decode("latin-1") if is_grpc else ""
        if before != (table.maxsize, list(table.dynamic_entries)) or len(self._paths) == MAX_CACHED_BLOCKS:
            self._paths.clear()
        else:
            self._paths[block] = path
        return path


def _check_size(block: bytes) -> None:
    if len(block) > MAX_HEADER_BLOCK_BYTES:
        raise Http2Error(PROTOCOL_ERROR, f"header block = {len(block)} bytes, must be at most {MAX_HEADER_BLOCK_BYTES}")
