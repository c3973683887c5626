import gzip
import time
import tracemalloc
import zlib

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai.codings import MAX_CODINGS, MAX_FRAMES, decode_body
from gateway.openai.errors import BadRequestError, BodyTooLargeError, UnsupportedCodingError, error_headers

LIMIT = 1 << 20


def raw_deflate(body):
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(body) + deflate.flush()


ENCODERS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress}


@given(st.binary(max_size=2000), st.sampled_from([*ENCODERS]))
def test_what_was_encoded_is_decoded(body, coding):
    assert body == decode_body(coding, ENCODERS[coding](body), LIMIT)
    assert body == decode_body(f" {coding.upper()} ", ENCODERS[coding](body), LIMIT)


@given(st.binary(max_size=2000), st.lists(st.sampled_from([*ENCODERS]), max_size=MAX_CODINGS))
def test_several_codings_are_undone_from_the_last_to_the_first(body, codings):
    encoded = body
    for coding in codings:
        encoded = ENCODERS[coding](encoded)

    assert body == decode_body(", identity ,".join(codings), encoded, LIMIT)


@given(st.binary(max_size=2000))
def test_deflate_without_the_header_of_zlib_is_understood(body):
    assert body == decode_body("deflate", raw_deflate(body), LIMIT)


@pytest.mark.parametrize("coding", ["", "identity", " , ", "IDENTITY"])
def test_without_a_coding_the_body_is_as_it_was(coding):
    assert b"body" == decode_body(coding, b"body", LIMIT)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_frames_that_follow_each_other_are_one_body(coding):
    encode = ENCODERS[coding]
    assert b"ab" * 2 == decode_body(coding, (encode(b"ab")) * 2, LIMIT)
    with pytest.raises(BadRequestError):
        decode_body(coding, encode(b"a") * (MAX_FRAMES + 1), LIMIT)


@pytest.mark.parametrize(
    "coding", ["br", "compress", "x-compress", "gzip, br", "br, gzip", "aws-chunked", "gzip;q=1", "é"]
)
def test_another_coding_is_named_with_those_that_are_understood(coding):
    with pytest.raises(UnsupportedCodingError, match="content-encoding = ") as refused:
        decode_body(coding, b"x", LIMIT)

    assert 415 == refused.value.status
    assert ("accept-encoding", "gzip, deflate, zstd") in error_headers(refused.value)


def test_codings_without_end_are_refused_before_any_is_undone():
    with pytest.raises(UnsupportedCodingError):
        decode_body("gzip," * (MAX_CODINGS + 1), b"x", LIMIT)


@pytest.mark.parametrize("coding", ENCODERS)
def test_what_is_not_coded_so_is_refused(coding):
    encoded = ENCODERS[coding](b"a body of some length" * 10)
    for body in (b'{"model":"m"}', encoded[:-5], encoded[: len(encoded) // 2], encoded + b"x", b"", b"\0"):
        with pytest.raises(BadRequestError, match=f"body is not {coding}"):
            decode_body(coding, body, LIMIT)


@given(st.binary(max_size=200), st.sampled_from([*ENCODERS]))
def test_any_bytes_are_decoded_or_refused(body, coding):
    try:
        decode_body(coding, body, LIMIT)
    except (BadRequestError, BodyTooLargeError):
        return


@pytest.mark.parametrize("coding", ENCODERS)
def test_a_body_of_exactly_the_limit_passes_and_one_byte_more_does_not(coding):
    encode = ENCODERS[coding]
    assert LIMIT == len(decode_body(coding, encode(b"a" * LIMIT), LIMIT))
    with pytest.raises(BodyTooLargeError):
        decode_body(coding, encode(b"a" * (LIMIT + 1)), LIMIT)


@pytest.mark.parametrize("coding", ENCODERS)
def test_a_bomb_ends_at_the_limit(coding):
    bomb = ENCODERS[coding](b"a" * (64 * LIMIT))
    for header, body in ((coding, bomb), (f"{coding},{coding}", ENCODERS[coding](bomb))):
        tracemalloc.start()
        with pytest.raises(BodyTooLargeError, match=f"must be at most {LIMIT}"):
            decode_body(header, body, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT
        tracemalloc.stop()


def test_a_window_that_costs_memory_is_refused():
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    with pytest.raises(BadRequestError):
        decode_body("zstd", compressor.compress(b"a") + compressor.flush(), LIMIT)


@pytest.mark.parametrize("coding", ENCODERS)
def test_sixteen_megabytes_take_little_time(coding):
    text = b" ".join(b"%d words of a prompt" % number for number in range(700_000))[: 16 * LIMIT]
    encoded = ENCODERS[coding](text)
    started_s = time.process_time()

    decode_body(coding, encoded, 16 * LIMIT)

    assert time.process_time() - started_s < 0.5  # 0.03 to 0.1 s on an idle machine
