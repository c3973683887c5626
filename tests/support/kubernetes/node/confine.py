"""Run a container's command with the files that its pod mounts: `confine.py FILES COMMAND...`, FILES as JSON.

Lives here: the mount namespace of one container, whose root is the machine's with other files at some paths, and its
host name, the variable HOSTNAME.  Not here: those files (volumes).  Needs no package.  Works as root and as root of a
user namespace.
"""

import ctypes
import json
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 4096, 8192, 16384, 1 << 18
CLONE_NEWNS, CLONE_NEWUTS = 0x20000, 0x4000000
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1
KEPT = Path("/.kept")

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(status: int, what: str) -> None:
    if status:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)}: {what}")


def mount(source: str | Path, target: str | Path, flags: int, kind: str = "none") -> None:
    """mount(2).  Raises OSError."""
    words = (os.fsencode(source), os.fsencode(target), kind.encode())
    _checked(_libc.mount(*words, ctypes.c_ulong(flags), None), f"{source} on {target}")


def bind(source: str | Path, target: str | Path) -> None:
    """Show a file or directory, with what is mounted below, at another path too."""
    mount(source, target, MS_BIND | MS_REC)


def place(like: Path, target: Path) -> None:
    """Make an empty file or directory where the other one can be bound."""
    if like.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()


def copy_as_mounts(directory: Path, target: Path) -> None:
    """Fill an empty directory with what another one has, bound; links stay links."""
    for entry in os.scandir(directory):
        made = target / entry.name
        if entry.is_symlink():
            made.symlink_to(Path(entry.path).readlink())
        else:
            place(Path(entry.path), made)
            bind(entry.path, made)


def make_room(target: Path, like: Path) -> None:
    """Make a path that the machine does not have, without a trace on the machine.

    Of the directory above it that is there everything is bound into an empty one, which takes its place.
    """
    if target.exists():
        return
    above = next(parent for parent in target.parents if parent.exists())
    if above != Path("/"):  # that is ours already
        copy = Path("/.copy")
        copy.mkdir(exist_ok=True)
        mount("tmpfs", copy, 0, "tmpfs")
        copy_as_mounts(above, copy)
        mount(copy, above, MS_MOVE)
    place(like, target)


def enter_root(root: Path) -> None:
    """Go to a root and a host name of our own; all else is the machine's."""
    _checked(_libc.unshare(CLONE_NEWNS | CLONE_NEWUTS), "unshare")
    socket.sethostname(os.environ["HOSTNAME"])
    mount("none", "/", MS_REC | MS_PRIVATE)
    mount("tmpfs", root, 0, "tmpfs")
    copy_as_mounts(Path("/"), root)
    os.chroot(root)
    os.chdir("/")


def set_read_only(path: Path, *, is_read_only: bool = True, with_all_below: bool = False) -> None:
    """Let processes of this namespace write there, or not."""
    attribute = (MOUNT_ATTR_RDONLY, 0) if is_read_only else (0, MOUNT_ATTR_RDONLY)
    attributes = (ctypes.c_uint64 * 4)(*attribute, 0, 0)
    flags, size = AT_RECURSIVE if with_all_below else 0, ctypes.sizeof(attributes)
    status = _libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), flags, attributes, size)
    _checked(status, f"read-only {path}")


class Files(NamedTuple):
    """The files of a container."""

    root: str  # an empty directory of its own
    mounts: Sequence[tuple[str, str, bool]]  # source, target, whether it can only be read; outer ones first
    kept: Sequence[str] = ()  # directories that stay visible where a mount hides them
    is_read_only: bool = False  # whether only mounts can be written
    where: str = "/"  # the working directory


def confine(files: Files) -> None:
    """Enter a mount namespace with these files."""
    enter_root(Path(files.root))
    mounts = [(_held(source), Path(os.path.realpath(target)), only) for source, target, only in files.mounts]
    kept = [(_held(path), Path(path)) for path in files.kept]
    for source, target, _ in mounts:
        make_room(target, source)
    if files.is_read_only:
        set_read_only(Path("/"), with_all_below=True)
    mount("tmpfs", "/dev/shm", 0, "tmpfs")  # noqa: S108 - of its own: another user's Envoy may have one of its name
    for source, target, _ in mounts:
        place(source, target)
        bind(source, target)
        set_read_only(target, is_read_only=False)
    for _, target, only_read in mounts:
        set_read_only(target, is_read_only=only_read)
    for source, path in kept:
        if any(path.is_relative_to(target) for _, target, _ in mounts):
            place(source, path)
            bind(source, path)
    os.chdir(files.where)


def _held(path: str) -> Path:
    """The same file or directory at a path where no mount hides it."""
    number = len(list(KEPT.iterdir())) if KEPT.exists() else 0
    held = KEPT / str(number)
    place(Path(path), held)
    bind(path, held)
    return held


if __name__ == "__main__":
    confine(Files(*json.loads(sys.argv[1])))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - it takes the place of this process
