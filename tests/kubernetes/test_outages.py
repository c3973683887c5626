"""The real API server goes and comes back, and so does a leader: sets stay and follow, another leads."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from random import Random

import pytest

from kube.client import Client, Selection, Timeouts, connection
from kube.errors import Expired
from kube.informer import Informer
from tests.kubernetes.conftest import eventually
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.leader import TERMS
from tests.support.kubernetes.maps import CONFIG_MAPS, ConfigMap, a_map
from tests.support.source_tree import ROOT


@asynccontextmanager
async def following(client: Client, label: str) -> AsyncIterator[Informer[ConfigMap]]:
    """An informer of the ConfigMaps in `default` with that label, after its first list."""
    informer = Informer(client, CONFIG_MAPS, Selection("default", labels=label), Random(1))
    task = asyncio.create_task(informer.run())
    await anext(informer.changes())
    yield informer
    task.cancel()
    await asyncio.wait((task,))


def names(informer: Informer[ConfigMap]) -> set[str]:
    return {one.metadata.name for one in informer.objects.values()}


async def test_a_watch_that_ends_in_time_goes_on_without_a_list(plane: ControlPlane):
    async with (
        Client(connection(plane.kubeconfig), "forebay-test", Timeouts(watch_s=1)) as client,
        following(client, "short") as informer,
    ):
        for number in range(3):
            await client.create(CONFIG_MAPS, a_map(f"short-{number}", "default", {"short": "1"}))
            watches = informer.counts.watches
            await eventually(lambda watches=watches: informer.counts.watches > watches)

        await eventually(lambda: names(informer) == {"short-0", "short-1", "short-2"})
        assert (1, 0) == (informer.counts.lists, informer.counts.failures)


async def test_the_set_stays_while_the_server_is_away_and_follows_again(plane: ControlPlane, client: Client):
    for name in ("stays", "goes"):
        await client.create(CONFIG_MAPS, a_map(name, "default", {"away": "1"}))
    async with following(client, "away") as informer:
        plane.kill_server()
        await eventually(lambda: not informer.is_current)
        await asyncio.sleep(1)
        assert {"stays", "goes"} == names(informer)

        plane.start_server()
        await asyncio.to_thread(plane.wait)
        await client.delete(CONFIG_MAPS, "goes", "default")
        await client.create(CONFIG_MAPS, a_map("comes", "default", {"away": "1"}))
        await eventually(lambda: names(informer) == {"stays", "comes"})


async def test_what_happened_before_a_server_started_can_only_be_listed(plane: ControlPlane, client: Client):
    _, version = await client.list(CONFIG_MAPS, Selection("default"))
    await client.create(CONFIG_MAPS, a_map("later", "default"))
    plane.kill_server()
    plane.start_server()
    await asyncio.to_thread(plane.wait)

    with pytest.raises(Expired):
        async with aclosing(client.watch(CONFIG_MAPS, version, Selection("default"))) as told:
            async for _ in told:
                pass


class Candidate:
    """A process that stands for election."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def leads(self) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while (line := await self.process.stdout.readline()) != b"leads\n":
                assert line, "the candidate ended"


@asynccontextmanager
async def a_candidate(plane: ControlPlane, identity: str) -> AsyncIterator[Candidate]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.kubernetes.leader", plane.kubeconfig, identity,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Candidate(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_when_the_leader_is_killed_another_takes_over_within_the_lease(plane: ControlPlane):
    async with a_candidate(plane, "first") as first:
        await first.leads()
        async with a_candidate(plane, "second") as second:
            await asyncio.sleep(2 * TERMS.retry_s)
            first.process.kill()
            killed_s = time.monotonic()
            await second.leads()
            took_s = time.monotonic() - killed_s

    # A leader has renewed within `renew_by_s`; after the lease comes a look or two, on a busy machine.
    assert TERMS.lease_s - TERMS.renew_by_s <= took_s <= TERMS.lease_s + 20 * TERMS.retry_s
