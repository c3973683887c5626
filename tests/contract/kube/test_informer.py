"""A set that follows the server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from random import Random

import pytest

from kube.client import Client, Selection
from kube.informer import Informer, Pace
from kube.objects import Key
from tests.contract.kube.conftest import Cluster
from tests.support.kubernetes.maps import CONFIG_MAPS, ConfigMap, a_map
from tests.support.polling import DEADLINE_S


@pytest.fixture
async def informer(client: Client, cluster: Cluster) -> AsyncIterator[Informer[ConfigMap]]:
    made = Informer(client, CONFIG_MAPS, Selection(cluster.namespace, labels="ours"), Random(1), Pace(gather_s=0.0))
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()


async def next_keys(changes: AsyncIterator[frozenset[Key]]) -> set[Key]:
    """The keys of the next change that has any: a key may be told twice, because telling it costs nothing."""
    async for keys in changes:
        if keys:
            return set(keys)
    raise AssertionError("changes never end")


async def test_an_empty_set_is_told_too(informer: Informer[ConfigMap]):
    async with asyncio.timeout(DEADLINE_S), aclosing(informer.changes()) as changes:
        assert frozenset() == await anext(changes)

    assert {} == informer.objects
    assert informer.is_current


async def test_a_set_follows_what_happens(informer: Informer[ConfigMap], client: Client, cluster: Cluster):
    space = cluster.namespace
    async with asyncio.timeout(DEADLINE_S), aclosing(informer.changes()) as changes:
        assert frozenset() == await anext(changes)

        created = await client.create(CONFIG_MAPS, a_map("a", space, {"ours": "1"}))
        assert {f"{space}/a"} == await next_keys(changes)
        assert {f"{space}/a": created} == informer.objects

        changed = await client.merge(CONFIG_MAPS, "a", space, {"data": {"color": "red"}})
        assert {f"{space}/a"} == await next_keys(changes)
        assert {f"{space}/a": changed} == informer.objects

        await client.merge(CONFIG_MAPS, "a", space, {"metadata": {"labels": {"ours": None}}})
        assert {f"{space}/a"} == await next_keys(changes)
        assert {} == informer.objects

    assert (1, 1) == (informer.counts.lists, informer.counts.watches)
