"""Files in parts: going on where it stood, disks that are full, sources that change or do not keep their word."""

import asyncio
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.downloader import DownloadError
from runtime.downloads import fetching
from runtime.downloads.fetching import Part, parts_of
from runtime.downloads.files import RemoteFile
from runtime.downloads.settings import Settings
from tests.support.stores.bringing import PART, content, downloads, fetch, visible
from tests.support.stores.file_server import Cut, Site, file_server

FILE = content(7, 8 * PART)


@pytest.fixture
def site() -> Iterator[Site]:
    with file_server(Site({"/f": FILE})) as served:
        yield served


def of_size(size: int | None, *, has_ranges: bool = True) -> RemoteFile:
    return RemoteFile("f", "f", size, "v", has_ranges=has_ranges)


@pytest.mark.parametrize(
    ("file", "parts"),
    [
        (of_size(0), []),
        (of_size(10), [Part(0, 0, 10)]),
        (of_size(11), [Part(0, 0, 4), Part(1, 4, 4), Part(2, 8, 3)]),
        (of_size(12), [Part(0, 0, 4), Part(1, 4, 4), Part(2, 8, 4)]),
        (of_size(None), [Part(0, 0, None)]),
        (of_size(11, has_ranges=False), [Part(0, 0, None)]),
    ],
)
def test_files_over_the_threshold_are_fetched_in_parts(file: RemoteFile, parts: list[Part]):
    assert parts == parts_of(file, Settings(part_threshold=10, part_chunksize=4))


def test_parts_are_under_way_at_once(site: Site, tmp_path: Path):
    together = threading.Barrier(4, timeout=20)
    real = fetching.Fetching._stream

    def stream(self: Any, target: Any, part: Part, descriptor: int) -> None:
        if part.number < 4:
            together.wait()
        real(self, target, part, descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching.Fetching, "_stream", stream)
        fetch(f"{site.url}/f", tmp_path)
    assert (tmp_path / "m").read_bytes() == FILE


def test_an_answer_that_breaks_off_goes_on_from_there(site: Site, tmp_path: Path):
    # the first byte is asked for alone, to learn the size
    site.fail("/f", None, Cut(1000), Cut(2000), 503, Cut(PART - 1))

    assert fetch(f"{site.url}/f", tmp_path, retries=3).read_bytes() == FILE
    assert len(FILE) + 1 == site.total


def test_an_error_keeps_what_is_there_for_the_next_attempt(site: Site, tmp_path: Path):
    site.fail("/f", None, None, None, 404)

    with pytest.raises(DownloadError, match="no such file"):
        fetch(f"{site.url}/f", tmp_path, num_threads=1)
    assert [] == visible(tmp_path)
    assert 2 * PART + 1 == site.total
    fetch(f"{site.url}/f", tmp_path)
    assert (tmp_path / "m").read_bytes() == FILE
    assert len(FILE) + 2 == site.total


def test_a_half_of_another_version_is_not_kept(site: Site, tmp_path: Path):
    site.fail("/f", None, None, None, 404)
    with pytest.raises(DownloadError):
        fetch(f"{site.url}/f", tmp_path, num_threads=1)
    site.files["/f"] = content(8, len(FILE))

    assert fetch(f"{site.url}/f", tmp_path).read_bytes() == site.files["/f"]


def test_a_half_without_a_version_is_not_kept(site: Site, tmp_path: Path):
    site.headers["/f"] = {"etag": ""}
    site.fail("/f", None, None, None, 404)
    with pytest.raises(DownloadError):
        fetch(f"{site.url}/f", tmp_path, num_threads=1)

    fetch(f"{site.url}/f", tmp_path)

    assert 2 * PART + 1 + len(FILE) + 1 == site.total


def test_a_file_that_changes_meanwhile_is_an_error(site: Site, tmp_path: Path):
    each = downloads()
    source_changes = iter([True])

    def on_progress(done: int, total: int | None) -> None:
        if done and next(source_changes, False):
            site.files["/f"] = content(9, len(FILE))

    each._on_progress = on_progress
    with pytest.raises(DownloadError, match="/f: the file changed at the source meanwhile"):
        asyncio.run(each.fetch(f"{site.url}/f", "m", tmp_path, {"num_threads": 1}))
    assert [] == visible(tmp_path)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"content-range": "bytes 5-9/524288"}, "sends other bytes"),
        ({"content-encoding": "gzip"}, "sent compressed"),
    ],
)
def test_a_source_that_does_not_keep_its_word_is_told(headers: dict[str, str], reason: str, site: Site, tmp_path: Path):
    real = fetching._check_answer

    def check(response: Any, *arguments: Any) -> None:
        response.headers.update(headers)
        real(response, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "_check_answer", check)
        with pytest.raises(DownloadError, match=reason):
            fetch(f"{site.url}/f", tmp_path)


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = fetching.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: usage._replace(free=len(FILE) - 1))

    with pytest.raises(DownloadError, match=r"needs 0 MiB more, 0 MiB are free|needs 1 MiB more") as caught:
        fetch(f"{site.url}/f", tmp_path)
    assert (507, 1) == (caught.value.status, site.total)


def test_a_link_in_a_half_is_not_followed(site: Site, tmp_path: Path):
    (tmp_path / ".downloads" / "m" / "files").mkdir(parents=True)
    (tmp_path / "victim").write_bytes(b"kept")
    (tmp_path / ".downloads" / "m" / "files" / "m").symlink_to(tmp_path / "victim")

    fetch(f"{site.url}/f?x", tmp_path)

    assert b"kept" == (tmp_path / "victim").read_bytes()
    assert not (tmp_path / "m").is_symlink()


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real, rng = os.pwrite, random.Random(1)
    monkeypatch.setattr(fetching.os, "pwrite", lambda fd, data, at: real(fd, bytes(data)[: rng.randint(1, 999)], at))
    with (tmp_path / "f").open("wb") as file:
        fetching._write(file.fileno(), FILE, 3)

    assert (tmp_path / "f").read_bytes() == bytes(3) + FILE
