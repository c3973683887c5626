"""The files of one artifact, fetched into a folder: parts in parallel, going on where an earlier process stood.

Lives here: parts, threads, room on the disk, comparing with checksums.  Not here: requests
(runtime.downloads.transfer), where the folder is and when it is installed (runtime.downloads.folders).
"""

import errno
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import Any

import httpx

from runtime.downloader import DownloadError
from runtime.downloads import checksums
from runtime.downloads.files import Address, RemoteFile, Source
from runtime.downloads.journal import Journal
from runtime.downloads.locations import shown
from runtime.downloads.settings import MIB, Settings
from runtime.downloads.transfer import PassingError, Retrying, Transfer

NO_ROOM = 507
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
BLOCK_BYTES = 512
"""The unit of st_blocks (stat(2))."""

OnProgress = Callable[[int, int | None], None]
"""Called by any thread with the bytes that are there and the bytes of all; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a file."""

    number: int
    start: int
    length: int | None
    """None for all that comes."""


def parts_of(file: RemoteFile, settings: Settings) -> list[Part]:
    """Return the parts that a file is fetched in; none of an empty one."""
    if file.size is None or not file.has_ranges:
        return [Part(0, 0, None)]
    size = settings.part_chunksize if file.size > settings.part_threshold else file.size
    starts = range(0, file.size, size or 1)
    return [Part(number, start, min(size, file.size - start)) for number, start in enumerate(starts)]


@dataclass(slots=True, eq=False)
class Target:
    """A file on its way to the disk."""

    file: RemoteFile
    path: Path
    parts: Sequence[Part]
    journal: Journal

    @property
    def missing(self) -> int:
        """Bytes that are still to be written; 0 where that is not known."""
        on_disk = self.path.stat().st_blocks * BLOCK_BYTES if self.path.exists() else 0
        return max(0, (self.file.size or 0) - on_disk)


@dataclass(slots=True)
class Progress:
    """Counts bytes, and says so to whom it concerns."""

    on_progress: OnProgress
    total: int | None = None
    done: int = 0
    _lock: Lock = field(default_factory=Lock)

    def add(self, count: int) -> None:
        """Count bytes that are on the disk, or no longer for a negative count."""
        with self._lock:
            self.done += count
            self.on_progress(self.done, self.total)


class Fetching:
    """Brings the files of one source into one folder."""

    def __init__(
        self, source: Source, transfer: Transfer, retrying: Retrying, settings: Settings, on_progress: OnProgress
    ) -> None:
        self._source = source
        self._transfer = transfer
        self._retrying = retrying
        self._settings = settings
        self._progress = Progress(on_progress)

    def fetch(self, files: Sequence[RemoteFile], folder: Path, journals: Path, stop: Event) -> None:
        """Return once every file is in `folder`, found good and synced.  Raises DownloadError.

        `journals` is where their journals are.  After an error, or once `stop` is set, what is there stays for the next
        attempt, but for a file with a wrong checksum.
        """
        with ExitStack() as stack, _room_errors(folder):
            targets = [self._target(file, folder, journals) for file in files]
            for target in targets:
                stack.callback(target.journal.close)
            _check_room(folder, targets)
            sizes = [file.size for file in files]
            self._progress.total = None if None in sizes else sum(size or 0 for size in sizes)
            self._progress.add(sum(sum(target.journal.counters[:-1]) for target in targets))
            self._run(targets, stop)

    def _target(self, file: RemoteFile, folder: Path, journals: Path) -> Target:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = parts_of(file, self._settings)
        lengths = [part.length if file.version else None for part in parts]
        journal_path = journals / hashlib.sha256(file.path.encode()).hexdigest()
        if not path.exists():
            journal_path.unlink(missing_ok=True)
        journal = Journal.open(journal_path, [file.path, file.version, file.size], lengths)
        if not journal.is_begun:
            path.unlink(missing_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o644))
        return Target(file, path, parts, journal)

    def _run(self, targets: Sequence[Target], stop: Event) -> None:
        """Do all parts, and check each file after its last one; the first error stops all threads and is raised."""
        waiting = [target for target in targets if not target.journal.is_good]
        failed = Event()  # tells the threads of an error before this one has heard of it

        def unless_failed(work: Callable[..., None], *arguments: Any) -> None:
            if failed.is_set():
                return
            try:
                work(*arguments)
            except BaseException:
                failed.set()
                raise

        with ThreadPoolExecutor(self._settings.num_threads, "download") as pool:
            todo = Counter({target: len(target.parts) for target in waiting})
            under_way: dict[Future[None], Target] = {}
            try:
                for target in waiting:
                    for part in target.parts:
                        under_way[pool.submit(unless_failed, self._bring, target, part)] = target
                    if not target.parts:
                        under_way[pool.submit(unless_failed, self._finish, target)] = target
                while under_way:
                    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                        future.result()
                        target = under_way.pop(future)
                        todo[target] -= 1
                        if todo[target] == 0:
                            under_way[pool.submit(unless_failed, self._finish, target)] = target
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _bring(self, target: Target, part: Part) -> None:
        """Write the bytes of a part that are not there yet."""
        counters = target.journal.counters
        descriptor = os.open(target.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            while part.length is None or counters[part.number] < part.length:
                self._retrying.call(lambda: self._stream(target, part, descriptor), lambda: counters[part.number])
                if part.length is None:
                    break
            os.fdatasync(descriptor)
            target.journal.note(part.number, counters[part.number])
        finally:
            os.close(descriptor)

    def _stream(self, target: Target, part: Part, descriptor: int) -> None:
        """Write what one answer brings.  Raises PassingError where it breaks off."""
        file, counters = target.file, target.journal.counters
        if part.length is None:
            self._progress.add(-counters[part.number])
            counters[part.number] = 0
            os.ftruncate(descriptor, 0)
        start = part.start + counters[part.number]
        end = None if part.length is None else part.start + part.length
        address = self._source.address(file)
        is_whole = part.length is None or (start == 0 and end == file.size)
        with self._transfer.answer(address, start, None if is_whole else end) as response:
            _check_answer(response, address, file, start, end)
            for block in self._transfer.blocks(response, address.url):
                if end is not None and start + len(block) > end:
                    raise DownloadError(f"{shown(address.url)}: sends more than it was asked for")
                _write(descriptor, block, start)
                start += len(block)
                target.journal.note(part.number, start - part.start)
                self._progress.add(len(block))
                self._retrying.check()
        if end is not None and start < end:
            raise PassingError(DownloadError(f"{shown(address.url)}: the connection broke off"))

    def _finish(self, target: Target) -> None:
        """Check a file that is there in full, and sync it."""
        file = target.file
        checksum = None
        if self._settings.verify_checksum:
            checksum = self._retrying.call(lambda: self._source.checksum(file))
        if (size := target.path.stat().st_size) != file.size and file.size is not None:
            raise self._not_good(target, f"{size} bytes, not {file.size}")
        if checksum is not None and (digest := checksums.digest_of(target.path, checksum)) != checksum.value:
            raise self._not_good(target, f"{checksum.algorithm} {digest}, not {checksum.value}")
        with target.path.open("rb") as synced:
            os.fsync(synced.fileno())
        target.journal.note_good()

    def _not_good(self, target: Target, reason: str) -> DownloadError:
        """Throw away a file; return the error."""
        for part in target.parts:
            target.journal.note(part.number, 0)
        target.path.unlink()
        return DownloadError(f"{target.file.path}: arrived wrong, {reason}; it was thrown away, try again")


def _check_answer(response: httpx.Response, address: Address, file: RemoteFile, start: int, end: int | None) -> None:
    """Check that an answer is of the wanted version and has the wanted bytes."""
    where = shown(address.url)
    etag = response.headers.get("etag", file.etag)
    if file.etag and etag.strip('"') != file.etag.strip('"'):  # in Azure's lists they have no quotes
        raise DownloadError(f"{where}: the file changed at the source meanwhile; try again")
    if response.headers.get("content-encoding", "identity") != "identity" and file.size is not None:
        raise DownloadError(f"{where}: is sent compressed, which no size or checksum fits")
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        begun = response.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0]
        if begun != str(start):
            raise DownloadError(f"{where}: sends other bytes than it was asked for")
    elif start or (end is not None and end != file.size):
        raise DownloadError(f"{where}: sends the whole file where a part was asked for")


def _write(descriptor: int, data: bytes, position: int) -> None:
    rest = memoryview(data)
    while rest:
        count = os.pwrite(descriptor, rest, position)
        rest, position = rest[count:], position + count


def _check_room(folder: Path, targets: Sequence[Target]) -> None:
    """Raise DownloadError where the disk has no room for what is missing."""
    needed = sum(target.missing for target in targets if not target.journal.is_good)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DownloadError(f"{folder}: needs {needed / MIB:.0f} MiB more, {free / MIB:.0f} MiB are free", NO_ROOM)


@contextmanager
def _room_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the disk into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DownloadError(
                f"{folder}: the disk is full; what is there stays for the next attempt", NO_ROOM
            ) from error
        raise DownloadError(f"{error.filename or folder}: {error.strerror or error}") from error
