"""Sources of deployments: a file that is watched, or whatever else has this protocol.

Lives here: the protocol and the file.  Not here: what is in the file (deployments_file).
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import structlog

from optimizer.input.reading import InputError
from optimizer.planning.deployments import Deployment
from optimizer.service.deployments_file import parse_deployments

POLL_S = 0.5
"""Chosen: a change takes effect within two polls; polling works on every file system."""

log = structlog.get_logger(__name__)


class DeploymentSource(Protocol):
    """A source of the deployments of all models."""

    @property
    def problem(self) -> str:
        """Why what was yielded last may be out of date; empty while it is not."""
        ...

    def watch(self) -> AsyncIterator[tuple[Deployment, ...]]:
        """Yield all deployments at once and again whenever any of them changed.

        A source that is away keeps what it yielded last, says so in `problem`, and goes on by itself.
        """
        ...


class DeploymentsFile:
    """The deployments of a file, which is read again when it changed."""

    def __init__(self, path: Path, poll_s: float = POLL_S) -> None:
        self._path = path
        self._poll_s = poll_s
        self.problem = "it was not read yet"

    def read(self) -> tuple[Deployment, ...]:
        """Return what the file says now.  Raises InputError, each line with the name of the file."""
        try:
            return parse_deployments(self._path.read_bytes())
        except OSError as error:
            raise InputError([f"{self._path}: cannot be read: {error.strerror}"]) from error
        except InputError as error:
            raise InputError([f"{self._path}: {problem}" for problem in error.problems]) from error

    async def watch(self) -> AsyncIterator[tuple[Deployment, ...]]:
        """Yield the deployments at once and after every change; a broken or missing file keeps the last good ones.

        A changed file counts when two polls have seen it alike, because half of a list is often a valid list of fewer.
        """
        last: tuple[Deployment, ...] | None = None
        before: tuple[Deployment, ...] | str | None = None
        while True:
            now = await asyncio.to_thread(self._look)
            if last is None or now == before:
                self._tell(now)
                if not isinstance(now, str) and now != last:
                    last = now
                    yield now
            before = now
            await asyncio.sleep(self._poll_s)

    def _look(self) -> tuple[Deployment, ...] | str:
        """Return the deployments, or what is wrong."""
        try:
            return self.read()
        except InputError as error:
            return str(error)

    def _tell(self, now: tuple[Deployment, ...] | str) -> None:
        problem = now if isinstance(now, str) else ""
        if problem and problem != self.problem:
            log.error("deployments_rejected", path=str(self._path), why=problem, keeping="the last good ones")
        elif self.problem and not problem:
            log.info("deployments_read", path=str(self._path), deployments=len(now))
        self.problem = problem
