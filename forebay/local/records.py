"""The directory of `forebay up`, and the files in it that are for other programs: DIR/env and DIR/run.json.

Lives here: their format (docs/contracts.md section 9), who may read them, replacing them atomically.  Not here: the
values.
"""

import os
import shlex
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from forebay.local.supervision.process import ProcessSpec

_OWNER_ONLY = 0o700


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


def shell_assignments(values: Mapping[str, str]) -> str:
    """Return one shell assignment per line, quoted where the shell needs it."""
    return "".join(f"{name}={_quoted(value)}\n" for name, value in values.items())


def _quoted(value: str) -> str:
    return value if shlex.quote(value) == value else f'"{value}"'


def write_processes(file: Path, running: Sequence[tuple[ProcessSpec, int]]) -> None:
    """Write role, name, process id and address of each process."""
    records = [{"role": spec.role, "name": spec.name, "pid": pid, "address": spec.address} for spec, pid in running]
    write_atomically(file, orjson.dumps(records, option=orjson.OPT_INDENT_2))


def write_atomically(file: Path, content: bytes) -> None:
    """Replace the file, so that a reader sees its old content or the new, never a mixture."""
    new = file.with_name(f".{file.name}.{os.getpid()}")
    new.write_bytes(content)
    new.replace(file)
