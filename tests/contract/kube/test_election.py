"""Two candidates for one Lease; time passes when the test says so."""

from collections.abc import AsyncIterator

import pytest

from kube.client import Client
from kube.election import LEASES, Election, Terms
from tests.contract.kube.conftest import Cluster
from tests.support.kubernetes.hands import Hands

TERMS = Terms(lease_s=15, renew_by_s=10.0, retry_s=2.0)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
async def candidates(client: Client, cluster: Cluster, hands: Hands) -> AsyncIterator[tuple[Election, Election]]:
    first, second = (
        Election(client, "routes", cluster.namespace, identity=name, clocks=hands.clocks(), terms=TERMS)
        for name in ("first", "second")
    )
    yield first, second


async def test_the_first_leads_and_the_second_waits(
    candidates: tuple[Election, Election], client: Client, cluster: Cluster, hands: Hands
):
    first, second = candidates
    for _ in range(3):
        await first.step()
        await second.step()
        hands.now_s += 2

    assert (True, False) == (first.is_leader, second.is_leader)
    lease = await client.get(LEASES, "routes", cluster.namespace)
    assert ("first", 15, 1) == (
        lease.spec.holder_identity,
        lease.spec.lease_duration_seconds,
        lease.spec.lease_transitions,
    )
    assert lease.spec.acquire_time != lease.spec.renew_time


async def test_a_leader_that_renews_no_more_stops_before_another_takes_over(
    candidates: tuple[Election, Election], hands: Hands
):
    first, second = candidates
    await first.step()
    await second.step()

    hands.now_s += 9.9
    assert first.is_leader
    hands.now_s += 0.2
    assert not first.is_leader

    await second.step()
    assert not second.is_leader
    hands.now_s += 5
    await second.step()
    assert second.is_leader

    await first.step()
    assert not first.is_leader


async def test_a_lease_that_is_given_up_is_taken_at_once(candidates: tuple[Election, Election]):
    first, second = candidates
    await first.step()
    await second.step()
    await first.release()

    assert not first.is_leader
    await second.step()
    assert second.is_leader


async def test_a_deleted_lease_is_made_again(
    candidates: tuple[Election, Election], client: Client, cluster: Cluster, hands: Hands
):
    first, _ = candidates
    await first.step()
    await client.delete(LEASES, "routes", cluster.namespace)
    hands.now_s += 2

    await first.step()

    assert first.is_leader
    assert "first" == (await client.get(LEASES, "routes", cluster.namespace)).spec.holder_identity
