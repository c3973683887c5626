"""URIs: every spelling goes to its source, with the name that people expect, and credentials are not shown."""

from pathlib import Path

import pytest

from runtime.downloader import DownloadError
from runtime.downloads.locations import local_path, name_of, parse, shown


@pytest.mark.parametrize(
    ("uri", "scheme", "root", "path", "name"),
    [
        ("huggingface://org/model", "hf", "org", "model", "model"),
        ("hf://org/model@v1.0", "hf", "org", "model@v1.0", "model"),
        ("hf://gpt2@main", "hf", "gpt2@main", "", "gpt2"),
        ("org/model", "hf", "org", "model", "model"),
        ("org/model@refs%2Fpr%2F1", "hf", "org", "model@refs%2Fpr%2F1", "model"),
        ("s3://bucket/models/m/", "s3", "bucket", "models/m/", "m"),
        ("S3://bucket", "s3", "bucket", "", "bucket"),
        ("tos://aibrix-artifact-testing/models/m/", "tos", "aibrix-artifact-testing", "models/m/", "m"),
        ("gs://bucket/m", "gs", "bucket", "m", "m"),
        ("gcs://bucket/m", "gs", "bucket", "m", "m"),
        ("az://container/m", "az", "container", "m", "m"),
        ("azure://container/m", "az", "container", "m", "m"),
        ("https://u:p@host:8443/a/m.gguf?X-Sig=1#f", "http", "host", "a/m.gguf", "m.gguf"),
        ("/models/m", "file", "", "/models/m", "m"),
        ("./m", "file", "", "./m", "m"),
        ("file:///models/a%20b", "file", "", "/models/a b", "a%20b"),
        ("file://localhost/models/m", "file", "", "/models/m", "m"),
    ],
)
def test_a_uri_is_taken_apart(uri: str, scheme: str, root: str, path: str, name: str):
    location = parse(uri)

    assert (scheme, root, path, name) == (location.scheme, location.root, location.path, name_of(uri))


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("ftp://host/x", "of no known source"),
        ("model", "of no known source"),
        ("", "of no known source"),
        ("s3:///key", "names no bucket"),
        ("https://", "names no host"),
        ("https://host:port/x", "names no host"),
    ],
)
def test_a_uri_without_a_source_is_refused(uri: str, reason: str):
    with pytest.raises(DownloadError, match=reason) as caught:
        parse(uri)
    assert 400 == caught.value.status


@pytest.mark.parametrize(
    ("uri", "seen"),
    [
        ("https://user:secret@host/a/b?X-Amz-Signature=secret#secret", "https://host/a/b"),
        ("s3://AK:secret@bucket/key", "s3://bucket/key"),
        ("https://host?token=secret", "https://host"),
        ("hf://org/model@v1", "hf://org/model@v1"),
        ("no-uri?secret", "no-uri"),
    ],
)
def test_what_is_shown_has_no_credentials(uri: str, seen: str):
    assert seen == shown(uri)


def test_a_local_path_must_exist(tmp_path: Path):
    assert tmp_path == local_path(parse(f"{tmp_path}/"))
    with pytest.raises(DownloadError, match="no such file or folder") as caught:
        local_path(parse(f"{tmp_path}/none"))
    assert 404 == caught.value.status
