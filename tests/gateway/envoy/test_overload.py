"""The bounds of what a real Envoy holds for its clients."""

import asyncio
import contextlib
from pathlib import Path

from gateway.config.addresses import split_address
from gateway.config.settings import Settings
from gateway.envoy.overload import overload_manager
from tests.support.envoy import running_envoy, settings_for


async def test_surplus_connections_are_closed(tmp_path: Path):
    settings = settings_for([], {}, envoy={"max_connections": 2})
    async with running_envoy(settings, tmp_path), contextlib.AsyncExitStack() as opened:
        readers = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection(*split_address(settings.envoy.listen))
            opened.callback(writer.close)
            readers.append(reader)
            await asyncio.sleep(0.1)

        assert b"" == await asyncio.wait_for(readers[2].read(), 10)
        assert not readers[0].at_eof() and not readers[1].at_eof()


def test_the_heap_is_what_the_setting_says():
    _, heap = overload_manager(Settings.model_validate({"envoy": {"memory_bytes": 1 << 30}}))["resource_monitors"]

    assert 1 << 30 == heap["typed_config"]["max_heap_size_bytes"]
