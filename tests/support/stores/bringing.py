"""Downloads for tests: small parts, few threads, one attempt more; and what a folder holds afterwards."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.downloads.downloading import Downloads

KIB = 1 << 10
PART = 64 * KIB
SMALL = {
    "DOWNLOADER_PART_THRESHOLD": str(PART),
    "DOWNLOADER_PART_CHUNKSIZE": str(PART),
    "DOWNLOADER_NUM_THREADS": "4",
    "DOWNLOADER_RETRIES": "1",
}


def downloads(environment: Mapping[str, str] | None = None, **more: Any) -> Downloads:
    return Downloads({**SMALL, **(environment or {})}, random.Random(1), **more)


def fetch(
    uri: str, folder: Path, name: str = "m", environment: Mapping[str, str] | None = None, **options: Any
) -> Path:
    return asyncio.run(downloads(environment).fetch(uri, name, folder, options))


def content(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def held(path: Path) -> dict[str, bytes]:
    """Every file below a path, by its relative name."""
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def visible(folder: Path) -> list[str]:
    """The names that are not hidden."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
