"""S3, on moto's server: objects and folders, checksums of every kind, TOS's variables, refusals."""

import hashlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.downloader import DownloadError
from runtime.downloads.files import Checksum, RemoteFile
from runtime.downloads.locations import parse
from runtime.downloads.settings import Settings, Variables
from runtime.downloads.sources import s3
from runtime.downloads.sources.s3 import S3, client_of, tos_endpoint
from runtime.downloads.transfer import Retrying, Transfer
from tests.support.stores.bringing import PART, content, fetch, held, visible
from tests.support.stores.file_server import Site, file_server
from tests.support.stores.s3 import BUCKET, LEAST_PART, Store, s3_store

LARGE = content(4, LEAST_PART + 3 * PART)
FILES = {"config.json": b"{}", "a/large.bin": LARGE, "sum.bin": content(5, PART + 1)}


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with s3_store() as served:
        served.put("m/", b"")
        served.put("m/config.json", FILES["config.json"])
        served.put("m/sum.bin", FILES["sum.bin"], ChecksumAlgorithm="SHA256")
        served.put_parts("m/a/large.bin", LARGE)
        served.put("mm/other", b"x")
        yield served


def checksums(store: Store) -> dict[str, tuple[str, int]]:
    """Algorithm and part size of each file's checksum."""
    transfer = Transfer(Settings())
    variables = Variables(store.variables, has_machine=True)
    source = S3(parse(f"s3://{BUCKET}/m"), variables, transfer, Retrying(0, threading.Event(), random.Random(1)))
    found = {file.path: source.checksum(file) for file in source.listing().files}
    transfer.close()
    return {path: (known.algorithm, known.part_size) for path, known in found.items() if known}


@pytest.mark.parametrize("uri", [f"s3://{BUCKET}/m", f"s3://{BUCKET}/m/"])
def test_a_folder_is_all_keys_below_it(uri: str, store: Store, tmp_path: Path):
    assert held(fetch(uri, tmp_path, "m", store.variables)) == FILES


def test_an_object_is_a_file(store: Store, tmp_path: Path):
    assert b"{}" == fetch(f"s3://{BUCKET}/m/config.json", tmp_path, "m", store.variables).read_bytes()


def test_checksums_are_taken_where_they_are_best(store: Store):
    found = checksums(store)

    assert ("sha256", 0) == found["sum.bin"]
    assert ("md5-parts", LEAST_PART) == found["a/large.bin"]
    assert found["config.json"][0] in ("crc32", "md5")


@pytest.mark.parametrize("path", ["sum.bin", "a/large.bin", "config.json"])
def test_an_object_that_arrives_wrong_is_found(
    path: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = S3.checksum
    wrong = "0" * 32

    def checksum(self: S3, file: RemoteFile) -> Checksum:
        known = real(self, file)
        assert known is not None
        return Checksum(known.algorithm, wrong, known.part_size)

    monkeypatch.setattr(s3.S3, "checksum", checksum)
    with pytest.raises(DownloadError, match="arrived wrong"):
        fetch(f"s3://{BUCKET}/m/{path}", tmp_path, "m", store.variables)
    assert [] == visible(tmp_path)


@pytest.mark.parametrize("uri", [f"s3://{BUCKET}/none", f"s3://{BUCKET}/none/", "s3://none/m", "s3://none"])
def test_nothing_there_is_404(uri: str, store: Store, tmp_path: Path):
    with pytest.raises(DownloadError, match=f"^{uri}: there is no such") as caught:
        fetch(uri, tmp_path, "m", store.variables)
    assert 404 == caught.value.status


def test_a_key_that_leads_elsewhere_is_refused(store: Store, tmp_path: Path):
    store.put("bad/../../escaped", b"x")

    with pytest.raises(DownloadError, match="leads elsewhere"):
        fetch(f"s3://{BUCKET}/bad/", tmp_path / "models", "m", store.variables)
    assert ["models"] == visible(tmp_path)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_told_and_not_shown(status: int, tmp_path: Path):
    with file_server(Site(pages={"/models": status, "/models/m": status})) as site:
        variables = {"AWS_ACCESS_KEY_ID": "AKEY", "AWS_SECRET_ACCESS_KEY": "SECRET", "AWS_ENDPOINT_URL": site.url}

        with pytest.raises(DownloadError, match=r"^s3://models/m/: the store refuses \(.*HTTP 40[13]\)$") as caught:
            fetch("s3://models/m/", tmp_path, "m", variables)
        assert status == caught.value.status
        assert "KEY" not in str(caught.value)
        assert "SECRET" not in str(caught.value)


def test_a_store_that_is_not_there_is_told(tmp_path: Path):
    variables = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}

    with pytest.raises(DownloadError, match="cannot reach the store"):
        fetch("s3://models/m", tmp_path, "m", variables, retries=0)


def test_tos_has_variables_of_its_own(store: Store, tmp_path: Path):
    variables = {"TOS_ACCESS_KEY": "key", "TOS_SECRET_KEY": "secret", "TOS_ENDPOINT": store.url, "TOS_REGION": "x"}

    assert held(fetch(f"tos://{BUCKET}/m/", tmp_path, "m", variables)) == FILES
    with pytest.raises(DownloadError, match="TOS_ENDPOINT is not set"):
        fetch(f"tos://{BUCKET}/m/", tmp_path, "m2", store.variables)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("tos-cn-beijing.ivolces.com", "https://tos-s3-cn-beijing.ivolces.com"),
        ("https://tos-cn-beijing.volces.com", "https://tos-s3-cn-beijing.volces.com"),
        ("tos-s3-cn-beijing.volces.com", "https://tos-s3-cn-beijing.volces.com"),
        ("http://minio:9000", "http://minio:9000"),
    ],
)
def test_toss_own_endpoints_are_turned_into_those_of_its_s3_api(text: str, endpoint: str):
    assert endpoint == tos_endpoint(text)


def test_buckets_of_tos_are_part_of_the_host():
    variables = {"TOS_ACCESS_KEY": "k", "TOS_SECRET_KEY": "s", "TOS_ENDPOINT": "tos-cn-beijing.volces.com"}
    client = client_of(Variables(variables, has_machine=False), "TOS")

    url = client.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "m/x"})

    assert url.startswith("https://bucket.tos-s3-cn-beijing.volces.com/m/x?X-Amz-Algorithm=AWS4-HMAC-SHA256")


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"AWS_ACCESS_KEY_ID": "k"}, "only one is set"),
        ({"AWS_ENDPOINT_URL": "no url"}, "the endpoint or the region cannot be used"),
        ({"AWS_REGION": "evil.example/x"}, "the endpoint or the region cannot be used"),
    ],
)
def test_variables_that_cannot_be_used_are_told(variables: dict[str, str], reason: str):
    with pytest.raises(DownloadError, match=reason) as caught:
        client_of(Variables(variables, has_machine=False), "AWS")
    assert 400 == caught.value.status


def test_without_credentials_nothing_is_signed():
    client = client_of(Variables({"AWS_REGION": "eu-west-1"}, has_machine=False), "AWS")

    url = client.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "m/x"})

    assert "https://bucket.s3.amazonaws.com/m/x" == url


def test_the_etag_of_parts_is_what_the_store_says(store: Store):
    head = store.client.head_object(Bucket=BUCKET, Key="m/a/large.bin")
    parts = [hashlib.md5(LARGE[start : start + LEAST_PART]).digest() for start in (0, LEAST_PART)]

    assert f'"{hashlib.md5(b"".join(parts)).hexdigest()}-2"' == head["ETag"]
