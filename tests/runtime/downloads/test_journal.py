"""Journals: what a killed process had on the disk counts, what only a lost machine had does not."""

from pathlib import Path

import pytest

from runtime.downloads import journal
from runtime.downloads.journal import Journal

LENGTHS = [100, 100, 50]


def reopened(
    path: Path, identity: tuple[str, str] = ("file", "v1"), lengths: list[int | None] | None = None
) -> Journal:
    found = Journal.open(path, identity, lengths or LENGTHS)
    found.close()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    begun = Journal.open(tmp_path / "journal", ("file", "v1"), LENGTHS)
    assert not begun.is_begun
    begun.note(0, 100)
    begun.note(1, 30)
    begun.close()
    return tmp_path / "journal"


def test_counters_are_kept(path: Path):
    assert ([100, 30, 0, 0], True, False) == (
        reopened(path).counters, reopened(path).is_begun, reopened(path).is_good,
    )  # fmt: skip


def test_a_file_that_was_found_good_stays_good(path: Path):
    good = Journal.open(path, ("file", "v1"), LENGTHS)
    good.note_good()
    good.close()

    assert reopened(path).is_good


def test_another_version_begins_anew(path: Path):
    assert [0, 0, 0, 0] == reopened(path, ("file", "v2")).counters


def test_other_parts_begin_anew(path: Path):
    assert [0, 0] == reopened(path, lengths=[250]).counters


def test_a_part_of_unknown_length_is_not_kept(tmp_path: Path):
    begun = Journal.open(tmp_path / "journal", ("file", "v1"), [None])
    begun.note(0, 30)
    begun.close()

    assert [0, 0] == reopened(tmp_path / "journal", lengths=[None]).counters


def test_after_a_reboot_only_whole_parts_count(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "boot").write_text("another\n")
    monkeypatch.setattr(journal, "BOOT_ID", tmp_path / "boot")

    assert [100, 0, 0, 0] == reopened(path).counters


@pytest.mark.parametrize(
    "rubbish", [b"", b"\n", b"[]\n", b"rubbish", b'[["file","v1"],[100,100,50],""]\nxyz', b"\xff\n"]
)
def test_rubbish_begins_anew(rubbish: bytes, path: Path):
    path.write_bytes(rubbish)

    assert [0, 0, 0, 0] == reopened(path).counters
