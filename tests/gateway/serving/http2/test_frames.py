"""Frames as bytes, read back by another implementation where there is one."""

import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from gateway.serving.http2.frames import (
    DATA,
    DEFAULT_WINDOW,
    EMPTY_TABLE,
    GRPC_HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    NOT_GRPC,
    Http2Error,
    frame,
    frame_header,
    goaway,
    literal,
    rst_stream,
    settings,
    window_update,
)

STREAM = 0x0102_0304


@pytest.mark.parametrize("size", [0, 255, 256, 65_535, 65_536, 2**24 - 1])
def test_a_length_has_24_bits(size: int):
    assert size.to_bytes(3, "big") == frame_header(size, DATA, 0, STREAM)[:3]


@pytest.mark.parametrize(("expected", "made"), [
    ("000002 00 01 01020304 6869", frame(DATA, 1, STREAM, b"hi")),
    ("000004 03 00 01020304 00000008", rst_stream(STREAM, 8)),
    ("000004 08 00 01020304 0000ffff", window_update(STREAM, DEFAULT_WINDOW)),
    ("00000c 04 00 00000000 0004 00000001 0005 00004000", settings({INITIAL_WINDOW_SIZE: 1, MAX_FRAME_SIZE: 16_384})),
    ("00000b 07 00 00000000 00000007 00000001 776879", goaway(7, 1, "why")),
])  # fmt: skip
def test_frames_are_laid_out_as_the_rfc_draws_them(expected: str, made: bytes):
    assert bytes.fromhex(expected) == made


@given(st.binary(max_size=40_000), st.binary(max_size=40_000))
def test_header_fields_of_any_length_are_read_back(name: bytes, value: bytes):
    decoder = Decoder(max_header_list_size=100_000)
    assert [(name, value)] == decoder.decode(literal(name, value), raw=True)


def test_the_blocks_that_never_change_say_what_their_names_say():
    assert [(":status", "200"), ("content-type", "application/grpc")] == Decoder().decode(EMPTY_TABLE + GRPC_HEADERS)
    assert [(":status", "415")] == Decoder().decode(NOT_GRPC)


def test_an_error_carries_its_code():
    assert (6, "too long") == ((error := Http2Error(6, "too long")).code, str(error))
