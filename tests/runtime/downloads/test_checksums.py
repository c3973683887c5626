"""Digests of files by every algorithm that a source gives digests in."""

import hashlib
import zlib
from base64 import b64encode
from pathlib import Path

import pytest

from runtime.downloads.checksums import digest_of, from_base64
from runtime.downloads.files import Checksum
from tests.support.stores.bringing import content

CHECK = b"123456789"


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        ("md5", "25f9e794323b453885f5181f1b624d0b"),
        ("sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        ("sha256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        ("sha512", hashlib.sha512(CHECK).hexdigest()),
        ("crc32", "cbf43926"),  # the check values of both CRCs, as their catalogue has them
        ("crc32c", "e3069283"),
        ("git", hashlib.sha1(b"blob 9\0" + CHECK).hexdigest()),
    ],
)
def test_every_algorithm_gives_its_known_digest(algorithm: str, digest: str, tmp_path: Path):
    (tmp_path / "file").write_bytes(CHECK)

    assert digest == digest_of(tmp_path / "file", Checksum(algorithm, ""))


@pytest.mark.parametrize("size", [0, 1, 99_999, 100_000, 100_001, 2_300_000, 3_000_000])
def test_the_etag_of_parts_is_the_md5_of_their_md5s(size: int, tmp_path: Path):
    whole = content(1, size)
    (tmp_path / "file").write_bytes(whole)
    parts = [hashlib.md5(whole[start : start + 100_000]).digest() for start in range(0, size, 100_000)]

    assert hashlib.md5(b"".join(parts)).hexdigest() == digest_of(
        tmp_path / "file", Checksum("md5-parts", "", part_size=100_000)
    )


def test_a_digest_in_base64_becomes_one_in_hexadecimal():
    sent = b64encode(zlib.crc32(CHECK).to_bytes(4, "big")).decode()

    assert Checksum("crc32", "cbf43926") == from_base64("crc32", sent)
    assert None is from_base64("crc32", "no base64")
