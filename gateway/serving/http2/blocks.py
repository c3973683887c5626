"""The header blocks of a connection's client, as far as a gRPC server reads them: which method is called.

Lives here: blocks in pieces, HPACK (RFC 7541, by the library), and not decoding the same block twice.
Envoy repeats itself: from its second call on, all its blocks are the same few bytes and leave HPACK's table as it is.
Such a block is looked up, at a hundredth of the cost, as long as the table stays.
"""

from hpack import Decoder, HPACKError

from gateway.serving.http2.frames import COMPRESSION_ERROR, END_HEADERS, PROTOCOL_ERROR, Http2Error

MAX_BLOCK_BYTES = 64 * 1024
"""Of a header block over all its frames; what a gRPC client sends has some 200."""
MAX_REMEMBERED = 64
"""Header blocks: one per method, unless a client varies its headers (chosen)."""


class HeaderBlocks:
    """HEADERS and CONTINUATION payloads in, paths out."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._paths: dict[bytes, str] = {}  # of blocks that left the table as it is now
        self.unfinished: tuple[int, int, bytes] | None = None
        """Stream, flags of HEADERS, bytes so far: nothing but CONTINUATION may come (RFC 9113, section 6.10)."""

    def begin(self, stream_id: int, flags: int, payload: bytes) -> None:
        """A HEADERS frame without END_HEADERS."""
        self.unfinished = (stream_id, flags, payload)

    def go_on(self, stream_id: int, flags: int, payload: bytes) -> tuple[int, bytes] | None:
        """A CONTINUATION frame: the flags of its HEADERS and the whole block, or None while more must come."""
        if self.unfinished is None or self.unfinished[0] != stream_id:
            raise Http2Error(PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        _, first_flags, begun = self.unfinished
        block = begun + payload
        if len(block) > MAX_BLOCK_BYTES:
            raise Http2Error(PROTOCOL_ERROR, f"header block is over {MAX_BLOCK_BYTES} bytes")
        if flags & END_HEADERS:
            self.unfinished = None
            return first_flags, block
        self.unfinished = (stream_id, first_flags, block)
        return None

    def path(self, block: bytes) -> str:
        """`:path` of a gRPC call, empty for what is none.  Every block must pass through here: the table goes on."""
        path = self._paths.get(block)
        if path is not None:
            return path
        table = self._decoder.header_table
        before = table.maxsize, list(table.dynamic_entries)
        try:
            headers = dict(self._decoder.decode(block, raw=True))
        except HPACKError as error:
            raise Http2Error(COMPRESSION_ERROR, str(error)) from error
        is_grpc = headers.get(b"content-type", b"").startswith(b"application/grpc")
        path = headers.get(b":path", b"").decode("latin-1") if is_grpc else ""
        if before != (table.maxsize, list(table.dynamic_entries)) or len(self._paths) == MAX_REMEMBERED:
            self._paths.clear()
        else:
            self._paths[block] = path
        return path
