"""Keeps the file of Envoy's endpoints (EDS) in step with discovery.

Lives here: when the file is written, and what is printed when it cannot be.  Not here: its content
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
"""Pause before a file that could not be written, for example on a full disk, is tried again (chosen)."""

Say = Callable[[str], None]
"""Prints a line for people."""


@contextlib.asynccontextmanager
async def envoy_endpoints(settings: Settings, say: Say) -> AsyncIterator[None]:
    """Keep the EDS file up to date while the block runs; without `envoy.eds_file` do nothing.

    The block is entered once the file is written, so that an Envoy started in it finds its endpoints.  Raises
    ConfigurationError when that first time the models cannot be read or the file cannot be written; later such an error
    is printed and leaves the endpoints as they are.
    """
    if not settings.envoy.eds_file:
        yield
        return

    def on_reload(reload: Reload) -> None:
        if reload.fleet is None:
            say(f"{reload.path} is not used, the endpoints stay as they were: {reload.why}")

    discovery = discovery_for(settings, os.environ, STRATEGIES, on_reload)
    async with following(discovery, Path(settings.envoy.eds_file), say):
        yield


@contextlib.asynccontextmanager
async def following(discovery: Discovery, file: Path, say: Say) -> AsyncIterator[None]:
    """Write the fleet to `file`, and write it again whenever it changes until the block ends."""
    fleets = aiter(discovery.watch())
    first = await anext(fleets)
    try:
        write_eds(file, first)
    except OSError as error:
        raise ConfigurationError((f"envoy.eds_file = {file}, cannot be written: {error.strerror}",)) from error
    task = asyncio.create_task(_follow(fleets, file, say), name="endpoints for Envoy")
    try:
        yield
    finally:
        task.cancel()


async def _follow(fleets: AsyncIterator[FleetDescription], file: Path, say: Say) -> None:
    async for fleet in fleets:
        while not _written(file, fleet, say):  # noqa: ASYNC110 - no event tells that the disk has room
            await asyncio.sleep(RETRY_S)


def _written(file: Path, fleet: FleetDescription, say: Say) -> bool:
    """Write the file; print why and return False when that fails."""
    try:
        write_eds(file, fleet)
    except OSError as error:
        say(f"{file} cannot be written, the endpoints stay as they were: {error}")
        return False
    return True
