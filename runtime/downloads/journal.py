"""How much of one file is on the disk: kept beside it, so that a download goes on after its process was killed.

Lives here: the counters of a file's parts, and when they are believed.  Not here: the bytes themselves
(runtime.downloads.fetching).

A counter is written after the bytes that it counts.  A killed process loses neither, because the kernel has both; a
machine that went down may have kept the counter only, so after a reboot those parts count that were synced, the whole
ones.
"""

import json
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COUNTER = struct.Struct("<Q")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Journal:
    """The counters of one file's parts, and whether the whole was found good."""

    def __init__(self, path: Path, header: bytes, counters: list[int]) -> None:
        self.counters = counters
        """Bytes at the beginning of each part that are on the disk; the last one is no part, and 1 for a good file."""
        self._start = len(header)
        self._file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)

    @classmethod
    def open(cls, path: Path, identity: Sequence[Any], lengths: Sequence[int | None]) -> "Journal":
        """Open the journal of a file, or begin one where there is none for this `identity` (JSON values).

        `lengths` are those of the parts; None is one that only its end will tell, of which nothing is kept.
        """
        boot = BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""
        header = json.dumps([identity, lengths, boot]).encode() + b"\n"
        counters = _believed(path, [identity, lengths, boot])
        new = path.with_suffix(".new")
        new.write_bytes(header + b"".join(map(COUNTER.pack, counters)))
        new.replace(path)
        return cls(path, header, counters)

    @property
    def is_begun(self) -> bool:
        """Whether any byte is on the disk."""
        return any(self.counters)

    @property
    def is_good(self) -> bool:
        """Whether the whole file was found good."""
        return bool(self.counters[-1])

    def note(self, part: int, count: int) -> None:
        """Keep that `count` bytes of a part are on the disk."""
        self.counters[part] = count
        os.pwrite(self._file, COUNTER.pack(count), self._start + part * COUNTER.size)

    def note_good(self) -> None:
        """Keep that the whole file was found good, and is synced."""
        self.note(len(self.counters) - 1, 1)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _believed(path: Path, wanted: list[Any]) -> list[int]:
    """Return the counters of an earlier download of the same; zeros where there is none."""
    identity, lengths, boot = wanted
    fresh = [0] * (len(lengths) + 1)
    try:
        head, _, rest = path.read_bytes().partition(b"\n")
        kept = json.loads(head)
        counters = [count for (count,) in COUNTER.iter_unpack(rest)]
    except (OSError, ValueError, struct.error):
        return fresh
    if kept[:2] != json.loads(json.dumps([identity, lengths])) or len(counters) != len(fresh):
        return fresh
    is_same_boot = kept[2] == boot
    parts = [
        count if length is not None and (count == length or is_same_boot) else 0
        for count, length in zip(counters, lengths, strict=False)
    ]
    return [*parts, counters[-1]]
