"""The fleet as configuration describes it: in `models`, or in a `models_file` that is watched.

Lives here: when the configuration is read.  Not here: what it means (models), reading YAML (gateway.config.loading),
whether an engine answers (probing.health).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import structlog

from gateway.config.settings import ModelSettings
from gateway.discovery.description import FleetDescription
from gateway.discovery.models import describe

POLL_S = 0.25
"""Chosen: a change takes effect within a second.  Polling works on every file system and costs microseconds."""

Load = Callable[[Path], tuple[ModelSettings, ...]]
Fingerprint = tuple[int, int, int, int]
"""mtime_ns, ctime_ns, size and inode: the inode tells a file that was replaced or linked anew from the one before, and
ctime one whose mode changed or whose mtime was set back."""

log = structlog.get_logger(__name__)


class Reload(NamedTuple):
    """One attempt to read a models file that changed."""

    path: Path
    fleet: FleetDescription | None  # None: the file cannot be used, the last good fleet stays
    why: str = ""  # why it cannot be used


OnReload = Callable[[Reload], None]


def log_reload(reload: Reload) -> None:
    """Log what came of reading the file again."""
    path = str(reload.path)
    if reload.fleet is None:
        log.error("models_file_rejected", path=path, why=reload.why, serving="the last good set")
    else:
        models, endpoints = len(reload.fleet.models), len(reload.fleet.endpoints)
        log.info("models_file_loaded", path=path, models=models, endpoints=endpoints)


class StaticModels:
    """A fleet that never changes: `models` of the configuration."""

    def __init__(self, models: tuple[ModelSettings, ...]) -> None:
        self._models = models

    async def watch(self) -> AsyncIterator[FleetDescription]:
        """Yield the fleet once."""
        yield describe(self._models)

    def behind_s(self) -> Mapping[str, float]:
        """Return nothing: a file is read, not followed."""
        return {}


class ModelsFile:
    """A fleet that follows a file: `models_file`.

    `on_reload` is called after each attempt to read the changed file, whether it can be used or not.
    """

    def __init__(self, path: Path, load: Load, on_reload: OnReload, poll_s: float = POLL_S) -> None:
        self._path = path
        self._load = load
        self._on_reload = on_reload
        self._poll_s = poll_s

    async def watch(self) -> AsyncIterator[FleetDescription]:
        """Yield the fleet at once and after every change; a broken, empty or missing file keeps the last good fleet.

        A changed file is read when two polls have seen it alike, because half of a list of models is often a valid list
        of fewer.  The first read must succeed, because there is no good fleet to keep: its error is raised.
        """
        seen = now = fingerprint(self._path)
        fleet = await self._read()
        yield fleet
        while True:
            await asyncio.sleep(self._poll_s)
            before, now = now, fingerprint(self._path)
            if now != before or now == seen:
                continue
            seen = now  # taken before the file is read, so that a change during the read is noticed at the next poll
            reload = await self._reload()
            self._on_reload(reload)
            if reload.fleet is not None and reload.fleet != fleet:
                fleet = reload.fleet
                yield fleet

    def behind_s(self) -> Mapping[str, float]:
        """Return nothing: a file is read, not followed."""
        return {}

    async def _reload(self) -> Reload:
        try:
            return Reload(self._path, await self._read())
        except Exception as error:  # noqa: BLE001  supervision point: whatever is wrong with the file, the old fleet stays
            return Reload(self._path, None, str(error).removeprefix(f"{self._path}: "))

    async def _read(self) -> FleetDescription:
        """Read the file in a thread, so that requests go on: the YAML parser takes seconds for 10,000 endpoints."""
        return describe(await asyncio.to_thread(self._load, self._path))


def fingerprint(path: Path) -> Fingerprint | None:
    """Return a value that differs when the file was changed or replaced; None when there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
