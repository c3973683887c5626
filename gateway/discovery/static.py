"""The fleet as configuration describes it: in `models`, or in a `models_file` that is watched.

Lives here: when it is read.  Not here: what it means (models), reading YAML (gateway.config.loading), whether an engine
answers (health).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Literal

import structlog

from gateway.config.settings import ModelSettings
from gateway.discovery.description import FleetDescription
from gateway.discovery.models import describe

POLL_S = 0.5  # chosen: a change counts within a second; one stat costs microseconds and needs no file system's help

Load = Callable[[Path], tuple[ModelSettings, ...]]
Fingerprint = tuple[int, int, int]  # mtime_ns, size, inode: a file that is replaced or linked elsewhere differs too

log = structlog.get_logger(__name__)


class StaticModels:
    """A fleet that never changes: `models` of the configuration."""

    def __init__(self, models: tuple[ModelSettings, ...]) -> None:
        self._models = models

    async def watch(self) -> AsyncIterator[FleetDescription]:
        """Yield the fleet once."""
        yield describe(self._models)


class ModelsFile:
    """A fleet that is what a file says: `models_file`.

    `on_reload` hears `success` or `failure` after each attempt to read a changed file.
    """

    def __init__(
        self, path: Path, load: Load, on_reload: Callable[[Literal["success", "failure"]], None], poll_s: float = POLL_S
    ) -> None:
        self._path = path
        self._load = load
        self._on_reload = on_reload
        self._poll_s = poll_s

    async def watch(self) -> AsyncIterator[FleetDescription]:
        """Yield the fleet at once and after every change; a broken or missing file keeps the last good fleet.

        The first reading must succeed, there is nothing to keep: raises whatever it raises.
        """
        seen = fingerprint(self._path)
        fleet = await self._read()
        yield fleet
        while True:
            await asyncio.sleep(self._poll_s)
            now = fingerprint(self._path)
            if now == seen:
                continue
            seen = now  # taken before reading: what changes meanwhile is read again
            changed = await self._reload()
            if changed is not None and changed != fleet:
                fleet = changed
                yield fleet

    async def _reload(self) -> FleetDescription | None:
        """Return what the file says now, None when it says nothing of use."""
        try:
            fleet = await self._read()
        except Exception as error:  # noqa: BLE001  supervision point: whatever is wrong with the file, the old set serves on
            log.error("models_file_rejected", path=str(self._path), why=str(error), serving="the last good set")
            self._on_reload("failure")
            return None
        log.info("models_file_loaded", path=str(self._path), models=len(fleet.models), endpoints=len(fleet.endpoints))
        self._on_reload("success")
        return fleet

    async def _read(self) -> FleetDescription:
        """In a thread: 10,000 endpoints take the YAML parser seconds, and requests do not wait for it."""
        return describe(await asyncio.to_thread(self._load, self._path))


def fingerprint(path: Path) -> Fingerprint | None:
    """Return what tells one content from the next without reading it; None when there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)
