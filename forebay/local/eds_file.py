"""Keeps the file of Envoy's endpoints (EDS) in step with discovery.

Lives here: when the file is written, and the message when it cannot be.  Not here: its content
(gateway.envoy.endpoints), how a change of the fleet is noticed (gateway.discovery).
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from gateway.config.problems import ConfigurationError
from gateway.config.settings import Settings
from gateway.discovery.description import Discovery, FleetDescription
from gateway.discovery.sources import discovery_for
from gateway.discovery.static import Reload
from gateway.envoy.endpoints import write_eds
from routing.table import STRATEGIES

RETRY_S = 1.0
"""Seconds until a write that failed, for example on a full disk, is tried again (chosen)."""

PrintLine = Callable[[str], None]
"""Prints a line for the user."""


@contextlib.asynccontextmanager
async def eds_file_kept_current(settings: Settings, print_line: PrintLine) -> AsyncIterator[None]:
    """Keep `envoy.eds_file` up to date while the block runs; without that setting do nothing.

    The file is written before the block is entered, so that an Envoy started in it finds its endpoints.  Raises
    ConfigurationError when the models cannot be read or the file cannot be written that first time; later such an error
    is printed and leaves the endpoints as they are.
    """
    if not settings.envoy.eds_file:
        yield
        return

    def on_reload(reload: Reload) -> None:
        if reload.fleet is None:
            print_line(f"{reload.path} is not used, the endpoints stay as they were: {reload.why}")

    discovery = discovery_for(settings, os.environ, STRATEGIES, on_reload)
    async with written_from(discovery, Path(settings.envoy.eds_file), print_line):
        yield


@contextlib.asynccontextmanager
async def written_from(discovery: Discovery, file: Path, print_line: PrintLine) -> AsyncIterator[None]:
    """Write the fleet to `file` before the block is entered, and whenever it changes until the block ends."""
    fleets = aiter(discovery.watch())
    first = await anext(fleets)
    try:
        write_eds(file, first)
    except OSError as error:
        raise ConfigurationError((f"envoy.eds_file = {file}, cannot be written: {error.strerror}",)) from error
    task = asyncio.create_task(_write_changes(fleets, file, print_line), name="endpoints for Envoy")
    try:
        yield
    finally:
        task.cancel()


async def _write_changes(fleets: AsyncIterator[FleetDescription], file: Path, print_line: PrintLine) -> None:
    async for fleet in fleets:
        while not _is_written(file, fleet, print_line):  # noqa: ASYNC110 - no event tells that the disk has room
            await asyncio.sleep(RETRY_S)


def _is_written(file: Path, fleet: FleetDescription, print_line: PrintLine) -> bool:
    """Write the file and return True; when that fails, print why and return False."""
    try:
        write_eds(file, fleet)
    except OSError as error:
        print_line(f"{file} cannot be written, the endpoints stay as they were: {error}")
        return False
    return True
