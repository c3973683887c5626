"""The files that `forebay up` writes for other programs: DIR/env and DIR/run.json.

Lives here: their format (docs/contracts.md section 9), and replacing them atomically.  Not here: the values, who may
read them (forebay.local.data_directory).
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from forebay.local.supervision.process import ProcessSpec


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
