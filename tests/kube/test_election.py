"""Leading as long as the Lease is ours.  The Lease is in tests/contract/kube, a killed leader in tests/kubernetes."""

import asyncio
from random import Random
from typing import cast

import pytest

from kube.client import Client
from kube.election import Election, Lease, Terms
from kube.errors import AlreadyExists, Conflict, NotFound, Unreachable
from kube.objects import Kind, Metadata
from kube.times import Clocks
from tests.support.polling import until

TERMS = Terms(lease_s=15, renew_by_s=10.0, retry_s=0.02)
SHORT = Terms(lease_s=15, renew_by_s=0.3, retry_s=0.02)


class OneLease:
    """Keeps one Lease like a server, and can be away or slow."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.is_away = False

    async def get(self, kind: Kind[Lease], name: str, namespace: str = "") -> Lease:
        await self._reach()
        if self.lease is None:
            raise NotFound("no lease", 404)
        return self.lease

    async def create(self, kind: Kind[Lease], body: dict[str, object]) -> Lease:
        await self._reach()
        if self.lease is not None:
            raise AlreadyExists("there is one", 409)
        return self._keep(body, 1)

    async def replace(self, kind: Kind[Lease], body: dict[str, dict[str, str]]) -> Lease:
        await self._reach()
        assert self.lease is not None
        version = self.lease.metadata.resource_version
        if body["metadata"]["resourceVersion"] != version:
            raise Conflict("changed", 409)
        return self._keep(body, int(version) + 1)

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if self.is_away:
            raise Unreachable("away")

    def _keep(self, body: "dict[str, object] | dict[str, dict[str, str]]", version: int) -> Lease:
        self.lease = Lease(Metadata(resource_version=str(version)), body["spec"])
        return self.lease


class Leader:
    """Notes when it leads."""

    def __init__(self) -> None:
        self.is_leading = False
        self.times = 0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def lead(self) -> None:
        self.times += 1
        self.is_leading = True
        try:
            await asyncio.shield(self.failed)
        finally:
            self.is_leading = False


def a_candidate(server: OneLease, name: str = "first", terms: Terms = TERMS) -> Election:
    time = asyncio.get_running_loop().time
    return Election(cast(Client, server), "routes", "n", identity=name, clocks=Clocks(time, time), terms=terms)


async def test_a_leader_that_cannot_renew_is_cancelled_in_time_and_leads_again():
    server, leader = OneLease(), Leader()
    task = asyncio.create_task(a_candidate(server, terms=SHORT).run(leader.lead, Random(1)))
    await until(lambda: leader.is_leading)

    server.is_away = True
    began_s = asyncio.get_running_loop().time()
    await until(lambda: not leader.is_leading, every_s=0.001)
    assert asyncio.get_running_loop().time() - began_s < SHORT.lease_s

    server.is_away = False
    await until(lambda: leader.is_leading)
    assert leader.times >= 2
    task.cancel()
    await asyncio.wait((task,))


async def test_whoever_is_stopped_gives_the_lease_up_for_another():
    server, first, second = OneLease(), Leader(), Leader()
    one = asyncio.create_task(a_candidate(server).run(first.lead, Random(1)))
    await until(lambda: first.is_leading)
    other = asyncio.create_task(a_candidate(server, "second").run(second.lead, Random(2)))

    one.cancel()
    await asyncio.wait((one,))
    await until(lambda: second.is_leading)

    assert (False, 0) == (first.is_leading, second.times - 1)
    other.cancel()
    await asyncio.wait((other,))


async def test_an_error_of_the_leader_ends_the_election_and_gives_the_lease_up():
    server, leader = OneLease(), Leader()
    leader.failed.set_exception(ValueError("a mistake of ours"))

    with pytest.raises(ValueError, match="a mistake of ours"):
        await a_candidate(server).run(leader.lead, Random(1))

    assert server.lease is not None
    assert "" == server.lease.spec.holder_identity


async def test_two_never_lead_at_once():
    server, leaders = OneLease(), [Leader() for _ in range(3)]
    tasks = [
        asyncio.create_task(a_candidate(server, f"c{number}").run(leader.lead, Random(number)))
        for number, leader in enumerate(leaders)
    ]
    for _ in range(200):
        assert sum(leader.is_leading for leader in leaders) <= 1
        await asyncio.sleep(0.001)

    assert 1 == sum(leader.is_leading for leader in leaders)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
