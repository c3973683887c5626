"""Folders of artifacts: what is visible, what is hidden, whose turn it is, and how far things are."""

import threading
from pathlib import Path

import pytest

from runtime.downloader import Artifact, DownloadError
from runtime.downloads.folders import Place, Receipt, Status, found
from tests.support.stores.bringing import held, visible

RECEIPT = Receipt("hf://org/m", {"a": 1, "b/c": 2}, ["json"])


def half(place: Path, name: str = "m") -> Place:
    """A half with the files of RECEIPT."""
    begun = Place(place, name)
    with begun.locked(threading.Event()):
        begun.begin()
        (begun.files / "b").mkdir(exist_ok=True)
        (begun.files / "a").write_bytes(b"1")
        (begun.files / "b" / "c").write_bytes(b"22")
    return begun


def test_a_half_is_not_visible_and_an_installed_one_is(tmp_path: Path):
    place = half(tmp_path)
    assert ([], Status.NO_OPERATION) == (visible(tmp_path), place.status())
    assert [Artifact("m", tmp_path / "m", "", is_complete=False)] == found(tmp_path)

    place.install(place.files, RECEIPT)

    assert {"a": b"1", "b/c": b"22"} == held(tmp_path / "m")
    assert (["m"], Status.DOWNLOADED) == (visible(tmp_path), place.status())
    assert [Artifact("m", tmp_path / "m", "hf://org/m", is_complete=True)] == found(tmp_path)
    assert RECEIPT == place.receipt()
    assert place.is_whole(RECEIPT)


def test_an_installed_one_takes_the_place_of_another(tmp_path: Path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "old").write_bytes(b"old")
    place = half(tmp_path)

    place.install(place.files, RECEIPT)

    assert {"a": b"1", "b/c": b"22"} == held(tmp_path / "m")
    assert ["m.json", "m.lock"] == sorted(path.name for path in (tmp_path / ".downloads").iterdir())


def test_a_link_is_replaced_and_what_it_points_to_is_left_alone(tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_bytes(b"kept")
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "m").symlink_to(elsewhere)
    place = half(folder)

    place.install(place.files, RECEIPT)

    assert not (folder / "m").is_symlink()
    assert {"kept": b"kept"} == held(elsewhere)


def test_a_file_that_is_missing_or_shorter_makes_it_less_than_whole(tmp_path: Path):
    place = half(tmp_path)
    place.install(place.files, RECEIPT)

    (tmp_path / "m" / "b" / "c").write_bytes(b"2")
    assert not place.is_whole(RECEIPT)
    (tmp_path / "m" / "b" / "c").unlink()
    assert not place.is_whole(RECEIPT)


def test_files_that_are_no_longer_wanted_go(tmp_path: Path):
    place = half(tmp_path)
    (place.files / "link").symlink_to("/etc")

    place.keep_only(["a"])

    assert {"a": b"1"} == held(place.files)
    assert ["a"] == [path.name for path in place.files.rglob("*")]


def test_one_at_a_time(tmp_path: Path):
    first, second, stop = Place(tmp_path, "m"), Place(tmp_path, "m"), threading.Event()
    stop.set()
    with first.locked(threading.Event()):
        assert Status.DOWNLOADING == second.status()
        with pytest.raises(DownloadError, match="another process"), second.locked(stop):
            pass
        with Place(tmp_path, "other").locked(stop):
            pass
    with second.locked(stop):
        pass
    assert Status.NOT_EXIST == second.status()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path):
    (tmp_path / ".downloads").mkdir()
    (tmp_path / ".downloads" / "m.lock").symlink_to(tmp_path / "created")

    with pytest.raises(OSError, match="symbolic links"), Place(tmp_path, "m").locked(threading.Event()):
        pass
    assert not (tmp_path / "created").exists()
    assert Status.UNKNOWN == Place(tmp_path, "m").status()


@pytest.mark.parametrize(
    "rubbish", ["", "[]", '{"source": "x"}', '{"source": "x", "files": {"a": "b"}, "suffixes": []}']
)
def test_a_receipt_that_cannot_be_read_is_none(rubbish: str, tmp_path: Path):
    place = half(tmp_path)
    (tmp_path / ".downloads" / "m.json").write_text(rubbish)

    assert None is place.receipt()


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path):
    assert [] == found(tmp_path / "none")
    assert Status.NOT_EXIST == Place(tmp_path / "none", "m").status()
