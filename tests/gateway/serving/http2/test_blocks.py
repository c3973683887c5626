"""Header blocks: split over frames, with dynamic tables, and repeated."""

from contextlib import suppress

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.serving.http2 import blocks
from gateway.serving.http2.blocks import MAX_CACHED_BLOCKS, MAX_HEADER_BLOCK_BYTES, HeaderBlocks
from gateway.serving.http2.frames import COMPRESSION_ERROR, END_HEADERS, END_STREAM, PROTOCOL_ERROR, Http2Error
from tests.support.http2 import block

GRPC = ("content-type", "application/grpc")
INSERT_GRPC = b"\x5f\x10application/grpc"
INSERT_A, INSERT_B = b"\x44\x02/a", b"\x44\x02/b"
"""`:path` (static table 4) as a literal with incremental indexing, which adds it to the table."""
FIRST_TWO = b"\xbe\xbf"
"""The two latest entries of the dynamic table."""


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto", "application/grpc;x=y"])
def test_the_path_of_a_grpc_call_is_read(content_type: str):
    assert "/a.B/C" == HeaderBlocks().path(block("/a.B/C", content_type))


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/json"])
def test_what_is_no_grpc_call_has_no_path(content_type: str):
    assert "" == HeaderBlocks().path(block("/a.B/C", content_type))


def test_a_cached_block_is_not_decoded_again(monkeypatch: pytest.MonkeyPatch):
    decoded = []

    class Counting(hpack.Decoder):
        def decode(self, data: bytes, raw: bool = False) -> hpack.HeaderTuple:
            decoded.append(data)
            return super().decode(data, raw)

    monkeypatch.setattr(blocks, "Decoder", Counting)
    seen = HeaderBlocks()

    assert ["/a", "/a", "/b"] == [seen.path(block(path)) for path in ("/a", "/a", "/b")]
    assert [block("/a"), block("/b")] == decoded


def test_a_cached_block_is_decoded_again_after_the_table_changed():
    seen = HeaderBlocks()
    assert "/a" == seen.path(INSERT_A + INSERT_GRPC)
    assert ["/a", "/a"] == [seen.path(FIRST_TWO), seen.path(FIRST_TWO)]

    assert "/b" == seen.path(INSERT_GRPC + INSERT_B)

    assert "/b" == seen.path(FIRST_TWO)


def test_a_smaller_table_empties_the_cache():
    seen = HeaderBlocks()
    assert ["/a", "/a"] == [seen.path(INSERT_A + INSERT_GRPC), seen.path(FIRST_TWO)]

    assert "/c" == seen.path(b"\x20" + block("/c"))

    with pytest.raises(Http2Error) as caught:
        seen.path(FIRST_TWO)
    assert COMPRESSION_ERROR == caught.value.code


def test_a_client_that_varies_its_headers_takes_no_more_memory():
    seen = HeaderBlocks()
    paths = [f"/{number}" for number in range(3 * MAX_CACHED_BLOCKS)]
    assert paths == [seen.path(block(path)) for path in paths]
    assert len(seen._paths) <= MAX_CACHED_BLOCKS


@given(st.lists(st.tuples(st.sampled_from(["/a", "/b", "/c"]), st.sampled_from(["x", "y"]), st.booleans())))
def test_paths_are_right_whatever_a_client_puts_into_the_table(calls: list[tuple[str, str, bool]]):
    encoder, seen = hpack.Encoder(), HeaderBlocks()
    for number, (path, value, unlike_any) in enumerate(calls):
        headers = [(":path", path), GRPC, ("x", value), ("n", str(number) if unlike_any else "")]
        assert path == seen.path(encoder.encode(headers))


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_bytes_that_are_no_hpack_raise_nothing_else(noise: list[bytes]):
    seen = HeaderBlocks()
    with suppress(Http2Error):
        for one in noise:
            seen.path(one)


def test_a_block_that_is_no_hpack_is_a_compression_error():
    with pytest.raises(Http2Error) as caught:
        HeaderBlocks().path(b"\xff\xff\xff\xff\xff\xff")
    assert COMPRESSION_ERROR == caught.value.code


def test_a_block_in_pieces_is_complete_with_its_last():
    pieces = HeaderBlocks()
    assert not pieces.unfinished
    pieces.begin_block(1, END_STREAM, b"a")
    assert pieces.unfinished
    assert pieces.continue_block(1, 0, b"b") is None
    assert (END_STREAM, b"abc") == pieces.continue_block(1, END_HEADERS, b"c")
    assert not pieces.unfinished


@pytest.mark.parametrize("begun", [None, 3])
def test_a_continuation_without_headers_is_refused(begun: int | None):
    pieces = HeaderBlocks()
    if begun is not None:
        pieces.begin_block(begun, 0, b"a")
    with pytest.raises(Http2Error) as caught:
        pieces.continue_block(1, END_HEADERS, b"b")
    assert PROTOCOL_ERROR == caught.value.code


def test_a_block_without_end_is_refused():
    pieces = HeaderBlocks()
    pieces.begin_block(1, 0, b"a")
    with pytest.raises(Http2Error, match=f"header block = {MAX_HEADER_BLOCK_BYTES + 1} bytes, must be at most"):
        for _ in range(5):
            pieces.continue_block(1, 0, b"x" * (MAX_HEADER_BLOCK_BYTES // 4))


def test_a_block_that_is_too_large_is_refused_wherever_it_ends_and_before_it_is_decoded():
    large = b"\xbe" * (MAX_HEADER_BLOCK_BYTES + 1)  # an index that the table does not have
    for refuse in (
        lambda: HeaderBlocks().path(large),
        lambda: HeaderBlocks().begin_block(1, 0, large),
    ):
        with pytest.raises(Http2Error, match="must be at most") as caught:
            refuse()
        assert PROTOCOL_ERROR == caught.value.code


def test_a_header_list_of_many_tiny_headers_is_refused():
    with pytest.raises(Http2Error) as caught:
        HeaderBlocks().path(b"\x82" * MAX_HEADER_BLOCK_BYTES)
    assert COMPRESSION_ERROR == caught.value.code
