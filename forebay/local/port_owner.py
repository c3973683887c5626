"""The process that listens on a port, as far as this user may know it.

Lives here: reading Linux's /proc.  Not here: what it is asked for (forebay.local.ports).
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_LISTEN = "0A"  # the state in /proc/net/tcp
_LONGEST = 100
"""Characters of a command line that are shown (chosen)."""


def port_owner(port: int) -> str:
    """Return ` by COMMAND (pid N)` for the process that listens on a port, or an empty text when that is not known.

    For a process that a `forebay` command started it is that command.
    """
    inodes = {f"socket:[{inode}]" for inode in _listening(port)}
    for process in _PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or it is another user's
            if any(str(link.readlink()) in inodes for link in (process / "fd").iterdir()):
                return _described(_starter(process))
    return ""


def _listening(port: int) -> Iterator[str]:
    """Yield the inodes of the sockets that listen on the port."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
                _, local, _, state, *_, inode = line.split()[:10]
                if state == _LISTEN and int(local.rpartition(":")[2], 16) == port:
                    yield inode


def _starter(process: Path) -> Path:
    """Return the `forebay` command that started the process, or the process itself."""
    parent = _PROC / (process / "stat").read_text().rpartition(")")[2].split()[1]
    return parent if _is_forebay(parent) else process


def _is_forebay(process: Path) -> bool:
    words = _words(process)
    return any(word.rpartition("/")[2] == "forebay" for word in words[:3])  # forebay, python forebay, python -m forebay


def _words(process: Path) -> list[str]:
    with suppress(OSError):
        return (process / "cmdline").read_text(errors="replace").rstrip("\0").split("\0")
    return []


def _described(process: Path) -> str:
    command = " ".join(_words(process))
    return f" by {command[:_LONGEST] or 'a process'} (pid {process.name})"
