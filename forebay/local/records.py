"""What `forebay up` writes for others to read: DIR/env and DIR/run.json.

Lives here: their format (contracts section 9) and that a reader never meets half a file.  Not here: the values.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from forebay.local.process import Part


def assignments(values: Mapping[str, str]) -> str:
    """Shell assignments, one per line, quoted where the shell needs it."""
    return "".join(f"{name}={_quoted(value)}\n" for name, value in values.items())


def _quoted(value: str) -> str:
    return value if shlex.quote(value) == value else f'"{value}"'


def write_processes(file: Path, running: Sequence[tuple[Part, int]]) -> None:
    """Role, name, process id and address of each."""
    records = [{"role": part.role, "name": part.name, "pid": pid, "address": part.address} for part, pid in running]
    replace(file, orjson.dumps(records, option=orjson.OPT_INDENT_2))


def replace(file: Path, content: bytes) -> None:
    """The whole content or the old one, never a part of it."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_bytes(content)
    fresh.replace(file)
