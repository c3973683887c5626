"""One file over HTTP: sizes, versions and digests that servers give, and what goes wrong with those that give none."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.downloader import DownloadError
from runtime.downloads.files import Checksum
from runtime.downloads.sources.web import digest_in
from tests.support.stores.bringing import PART, content, fetch, visible
from tests.support.stores.file_server import Site, file_server

FILE = content(2, 5 * PART + 11)
SHA256 = hashlib.sha256(FILE)


@pytest.fixture
def site() -> Iterator[Site]:
    with file_server(Site({"/f.gguf": FILE, "/empty": b""})) as served:
        yield served


def test_a_file_is_fetched_in_parts(site: Site, tmp_path: Path):
    assert tmp_path / "f.gguf" == fetch(f"{site.url}/f.gguf?signature=x", tmp_path, "f.gguf")
    assert (tmp_path / "f.gguf").read_bytes() == FILE
    assert 1 + 6 == len([headers for _, headers in site.seen if "range" in headers])
    assert len(FILE) + 1 == site.total


def test_an_empty_file_is_a_file(site: Site, tmp_path: Path):
    assert b"" == fetch(f"{site.url}/empty", tmp_path).read_bytes()


def test_a_server_without_ranges_sends_the_whole(site: Site, tmp_path: Path):
    site.has_ranges = False

    assert fetch(f"{site.url}/f.gguf", tmp_path).read_bytes() == FILE


def test_a_server_that_says_no_size_is_believed_at_its_end(site: Site, tmp_path: Path):
    site.has_ranges = False
    site.headers["/f.gguf"] = {"content-length": "", "connection": "close", "etag": ""}

    assert fetch(f"{site.url}/f.gguf", tmp_path).read_bytes() == FILE


def test_a_token_of_the_options_is_sent(site: Site, tmp_path: Path):
    site.token = "secret"

    with pytest.raises(DownloadError, match="wants credentials") as caught:
        fetch(f"{site.url}/f.gguf", tmp_path)
    assert 401 == caught.value.status
    assert fetch(f"{site.url}/f.gguf", tmp_path, token="secret").read_bytes() == FILE


def test_a_wrong_checksum_leaves_nothing_and_the_right_one_goes_on_from_the_beginning(site: Site, tmp_path: Path):
    with pytest.raises(DownloadError, match=f"f.gguf: arrived wrong, sha256 {SHA256.hexdigest()}, not {'0' * 64}"):
        fetch(f"{site.url}/f.gguf", tmp_path, sha256="0" * 64)
    assert [] == visible(tmp_path)

    assert fetch(f"{site.url}/f.gguf", tmp_path, sha256=SHA256.hexdigest()).read_bytes() == FILE
    assert 2 * (len(FILE) + 1) == site.total


def test_a_wrong_digest_in_the_answer_is_found_unless_told_not_to_look(site: Site, tmp_path: Path):
    site.headers["/f.gguf"] = {"repr-digest": f"sha-256=:{b64encode(bytes(32)).decode()}:"}

    with pytest.raises(DownloadError, match="arrived wrong"):
        fetch(f"{site.url}/f.gguf", tmp_path)
    assert fetch(f"{site.url}/f.gguf", tmp_path, verify_checksum=False).read_bytes() == FILE


@pytest.mark.parametrize(
    ("headers", "checksum"),
    [
        ({"repr-digest": "sha-256=:AAAA:"}, Checksum("sha256", "000000")),
        ({"digest": "unknown=x,SHA-512=AAAA"}, Checksum("sha512", "000000")),
        ({"x-goog-hash": "crc32c=n03x6A==,md5=AAAA"}, Checksum("md5", "000000")),
        ({"repr-digest": "sha-256=:A:"}, None),
        ({"content-md5": "AAAA"}, None),  # of the part that was sent
        ({}, None),
    ],
)
def test_digests_in_headers(headers: dict[str, str], checksum: Checksum | None):
    assert checksum == digest_in(headers)
