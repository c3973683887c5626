"""Google Cloud Storage, on gcp-storage-emulator: objects and folders, CRC-32C, tokens, refusals."""

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from runtime.downloader import DownloadError
from tests.support.stores.bringing import PART, content, fetch, held, visible
from tests.support.stores.file_server import Pages, Site, file_server
from tests.support.stores.gcs import BUCKET, Store, gcs_store

FILES = {"config.json": b"{}", "a/large file#1.bin": content(6, 3 * PART + 5)}
ITEM = {"name": "m/f", "size": "3", "generation": "7", "crc32c": b64encode(bytes.fromhex("364b3fb7")).decode()}
"""`abc`, as the API lists it."""


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with gcs_store() as served:
        for name, data in FILES.items():
            served.put(f"m/{name}", data)
        served.put("mm/other", b"x")
        yield served


@pytest.fixture
def site() -> Iterator[Site]:
    """The API with one object, answered by hand."""
    pages = {"/storage/v1/b/models/o": {"items": [ITEM]}}
    with file_server(Site({"/download/storage/v1/b/models/o/m%2Ff": b"abc"}, pages)) as served:
        yield served


@pytest.mark.parametrize("uri", [f"gs://{BUCKET}/m", f"gcs://{BUCKET}/m/"])
def test_a_folder_is_all_names_below_it(uri: str, store: Store, tmp_path: Path):
    assert held(fetch(uri, tmp_path, "m", store.variables)) == FILES


def test_an_object_is_a_file(store: Store, tmp_path: Path):
    assert b"{}" == fetch(f"gs://{BUCKET}/m/config.json", tmp_path, "m", store.variables).read_bytes()


@pytest.mark.parametrize("uri", [f"gs://{BUCKET}/none", "gs://none/m"])
def test_nothing_there_is_404(uri: str, store: Store, tmp_path: Path):
    with pytest.raises(DownloadError, match="there is no such") as caught:
        fetch(uri, tmp_path, "m", store.variables)
    assert 404 == caught.value.status


def test_an_object_that_arrives_wrong_is_found(site: Site, tmp_path: Path):
    site.files["/download/storage/v1/b/models/o/m%2Ff"] = b"abd"

    with pytest.raises(DownloadError, match=r"f: arrived wrong, crc32c .*, not 364b3fb7"):
        fetch("gs://models/m", tmp_path, "m", {"STORAGE_EMULATOR_HOST": site.url})
    assert [] == visible(tmp_path)


def test_all_pages_are_read(site: Site, tmp_path: Path):
    second = {**ITEM, "name": "m/g"}
    site.files["/download/storage/v1/b/models/o/m%2Fg"] = b"abc"
    site.pages["/storage/v1/b/models/o"] = Pages([{"items": [ITEM], "nextPageToken": "next"}, {"items": [second]}])

    assert {"f": b"abc", "g": b"abc"} == held(
        fetch("gs://models/m", tmp_path, "m", {"STORAGE_EMULATOR_HOST": site.url})
    )
    asked = [parse_qs(urlsplit(path).query) for path, _ in site.seen if path.startswith("/storage")]
    assert [None, ["next"]] == [query.get("pageToken") for query in asked]


def test_the_generation_and_a_token_are_sent(site: Site, tmp_path: Path):
    site.token = "secret"

    fetch("gs://models/m", tmp_path, "m", {"STORAGE_EMULATOR_HOST": site.url}, token="secret")

    [download] = [path for path, _ in site.seen if path.startswith("/download")]
    assert {"alt": ["media"], "generation": ["7"]} == parse_qs(urlsplit(download).query)


def test_refused_credentials_are_told_and_not_shown(site: Site, tmp_path: Path):
    site.pages["/storage/v1/b/models/o"] = 403

    with pytest.raises(DownloadError, match=r"refuses these credentials \(HTTP 403\)") as caught:
        fetch("gs://models/m", tmp_path, "m", {"STORAGE_EMULATOR_HOST": site.url}, token="secret")
    assert 403 == caught.value.status
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["no json", json.dumps({"type": "service_account", "private_key": "secret"})])
def test_a_key_that_cannot_be_used_is_told_and_not_shown(key: str, site: Site, tmp_path: Path):
    with pytest.raises(DownloadError, match="gs://models/m: the credentials cannot be used") as caught:
        fetch("gs://models/m", tmp_path, "m", {"STORAGE_EMULATOR_HOST": site.url, "GOOGLE_SERVICE_ACCOUNT_KEY": key})
    assert 401 == caught.value.status
    assert "secret" not in str(caught.value)
