"""Folders in stores without folders."""

import pytest

from runtime.downloader import DownloadError
from runtime.downloads.files import RemoteFile
from runtime.downloads.sources.tree import listed


def keyed(*keys: str) -> list[RemoteFile]:
    return [RemoteFile(key, key, 1, "v") for key in keys]


@pytest.mark.parametrize(
    ("path", "is_folder", "paths"),
    [
        ("", True, ["a", "m/b", "m/c/d", "mm"]),
        ("m", True, ["b", "c/d"]),
        ("m/", True, ["b", "c/d"]),
        ("m/c", True, ["d"]),
        ("m/b", False, ["b"]),
        ("a", False, ["a"]),
    ],
)
def test_the_files_below_a_path(path: str, is_folder: bool, paths: list[str]):
    found = listed(keyed("a", "m/", "m/b", "m/c/d", "mm"), path, "s3://b")

    assert (is_folder, paths) == (found.is_folder, [file.path for file in found.files])


@pytest.mark.parametrize("path", ["x", "m/x", "a/"])
def test_nothing_there_is_an_error(path: str):
    with pytest.raises(DownloadError, match="s3://b: there is no such file or folder") as caught:
        listed(keyed("a", "m/"), path, "s3://b")
    assert 404 == caught.value.status
