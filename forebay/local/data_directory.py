"""The directory of `forebay up`: for one run at a time, and what is said when it cannot be used.

Lives here: making, locking and clearing it, who may read its files.  Not here: what is in it (records, configuration).
"""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import click

_OWNER_ONLY = 0o700
_NO_DIRECTORY = frozenset({errno.EEXIST, errno.ENOTDIR})
_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
"""Errors of a write, which do not say which file was written."""


class DataError(click.ClickException):
    """The directory cannot be used; click shows the message as one line."""


@contextlib.contextmanager
def data_directory(data: Path) -> Iterator[Path]:
    """Make the directory, lock it while the block runs, and clear it of an earlier run's files; give its whole path.

    Raises DataError when another process has the lock, and when anything in the directory cannot be written, in the
    block too.
    """
    directory = data.absolute()
    try:
        make_private(directory)
        with _locked(directory):
            _remove_old_files(directory)
            yield directory
    except OSError as error:
        if error.errno not in _OF_THE_DISK and not str(error.filename).startswith(str(directory)):
            raise
        why = "it is not a directory" if error.errno in _NO_DIRECTORY else str(error.strerror).lower()
        raise DataError(f"--data = {data}, cannot be written: {why}") from error


def make_private(directory: Path) -> None:
    """Make the directory if needed and keep others out of it: what is in it may hold tokens, users and their prompts.

    All files that this process and those it starts make from now on are their owner's alone as well, so that one in a
    directory which is shared on purpose (sticky, or another user's) is no less private.
    """
    os.umask(~_OWNER_ONLY & 0o777)
    directory.mkdir(parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid == os.geteuid() and not status.st_mode & stat.S_ISVTX:
        directory.chmod(_OWNER_ONLY)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Lock the directory while the block runs; the kernel releases the lock however the process ends."""
    with (directory / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            message = f"--data = {directory}, forebay up already runs with it (pid {owner}); end it or choose another"
            raise DataError(message) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _remove_old_files(directory: Path) -> None:
    """Remove the files of an earlier run: its addresses are wrong now, and workers need an empty folder."""
    (directory / "env").unlink(missing_ok=True)
    (directory / "run.json").unlink(missing_ok=True)
    for folder in ("run", "logs"):
        shutil.rmtree(directory / folder, ignore_errors=True)
    (directory / "logs").mkdir()
