"""Folders of artifacts: whole ones under their names, halves hidden beside them, and locks between processes.

Lives here: what lies where, and the rename that makes an artifact visible.  Not here: fetching
(runtime.downloads.fetching).

    FOLDER/NAME                     the artifact, whole: a folder or a file
    FOLDER/.downloads/NAME.json     its receipt: where it came from, and its files
    FOLDER/.downloads/NAME.lock     held by the process that is at it
    FOLDER/.downloads/NAME/         a half: `files` and `journals`, and `old` while it takes another's place
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from threading import Event

from runtime.downloader import Artifact, DownloadError

HIDDEN = ".downloads"
POLL_S = 0.1
"""Seconds between attempts to get a lock that another process has."""


class Status(StrEnum):
    """How far an artifact is, in AIBrix's words."""

    NOT_EXIST = "not_exist"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    NO_OPERATION = "no_operation"
    """A half that no process is at."""
    UNKNOWN = "unknown"
    """The folder cannot be read."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Source and files of an artifact that was installed."""

    source: str
    """The URI without credentials, and what else decides the content."""
    files: Mapping[str, int]
    """Relative path -> bytes; the only path of a single file is empty."""
    suffixes: Sequence[str] = ()
    """The files of a folder were taken by these; empty for all."""


class Place:
    """The place of one artifact in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        hidden = folder / HIDDEN
        self.path = folder / name
        self._hidden = hidden
        self._lock = hidden / f"{name}.lock"
        self._receipt = hidden / f"{name}.json"
        self._half = hidden / name

    @property
    def files(self) -> Path:
        """The folder, or for a single file its parent, that a half is fetched into."""
        return self._half / "files"

    @property
    def journals(self) -> Path:
        """The folder of the half's journals."""
        return self._half / "journals"

    @contextmanager
    def locked(self, stop: Event) -> Iterator[None]:
        """Hold the lock, once no other process or thread has it.  Raises DownloadError where it is stopped."""
        self._hidden.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._lock, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            while not _lock(descriptor):
                if stop.wait(POLL_S):
                    raise DownloadError("stopped while another process downloads the same")
            yield
        finally:
            os.close(descriptor)

    def receipt(self) -> Receipt | None:
        """Return the receipt of what is installed; None where there is none."""
        try:
            read = json.loads(self._receipt.read_text())
            return Receipt(
                str(read["source"]), {path: int(size) for path, size in read["files"].items()}, read["suffixes"]
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def is_whole(self, receipt: Receipt) -> bool:
        """Whether every file of a receipt is there, with its size."""
        return all(_size(self.path / path if path else self.path) == size for path, size in receipt.files.items())

    def begin(self) -> None:
        """Make the folders of a half, where they are not there yet."""
        self.files.mkdir(parents=True, exist_ok=True)
        self.journals.mkdir(exist_ok=True)

    def keep_only(self, paths: Sequence[str]) -> None:
        """Remove files of a half that are no longer wanted."""
        wanted = {self.files / path for path in paths}
        for path in [path for path in self.files.rglob("*") if path.is_symlink() or not path.is_dir()]:
            if path not in wanted:
                path.unlink()
        for path in sorted((path for path in self.files.rglob("*") if path.is_dir()), reverse=True):
            if not any(path.iterdir()):
                path.rmdir()

    def discard(self) -> None:
        """Remove a half."""
        shutil.rmtree(self._half, ignore_errors=True)

    def install(self, source: Path, receipt: Receipt) -> None:
        """Put a half, which is whole now, under its name, in the place of what is there.

        The receipt is gone while that happens, so that it never speaks of anything else.
        """
        self._receipt.unlink(missing_ok=True)
        old = self._half / "old"
        shutil.rmtree(old, ignore_errors=True)
        if os.path.lexists(self.path):
            self.path.rename(old)
        source.rename(self.path)
        _sync(self.path.parent)
        self.write_receipt(receipt)
        self.discard()

    def write_receipt(self, receipt: Receipt) -> None:
        """Write the receipt of what is under the name."""
        new = self._receipt.with_suffix(".new")
        new.write_text(json.dumps(asdict(receipt), indent=1))
        new.replace(self._receipt)

    def status(self) -> Status:
        """Return how far the artifact is, read from the disk: it is the same to all processes."""
        try:
            if self._is_held():
                return Status.DOWNLOADING
            if self.path.exists():
                return Status.DOWNLOADED
            return Status.NO_OPERATION if self._half.exists() else Status.NOT_EXIST
        except OSError:
            return Status.UNKNOWN

    def _is_held(self) -> bool:
        """Whether a process has the lock."""
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _lock(descriptor, shared=True)
        finally:
            os.close(descriptor)


def found(folder: Path) -> Sequence[Artifact]:
    """Return the artifacts of a folder, whole ones and halves, by name."""
    whole = {path.name for path in _entries(folder) if not path.name.startswith(".")}
    halves = {path.name for path in _entries(folder / HIDDEN) if path.is_dir()}
    return [_artifact(folder, name, is_complete=name in whole) for name in sorted(whole | halves)]


def _artifact(folder: Path, name: str, *, is_complete: bool) -> Artifact:
    receipt = Place(folder, name).receipt()
    return Artifact(name, folder / name, receipt.source if receipt else "", is_complete)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take a lock unless it is held; return whether it was taken."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _size(path: Path) -> int | None:
    """Return the size of a regular file; None where it is none."""
    return path.stat().st_size if path.is_file() else None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
