"""Each call of the API, with what a real server answers."""

from contextlib import aclosing

import pytest

from kube import client as client_module
from kube.client import Client, Selection
from kube.errors import AlreadyExists, ApiError, Conflict, Expired, NotFound
from kube.objects import Event, Kind, Object
from tests.contract.kube.conftest import Cluster
from tests.support.kubernetes.maps import CONFIG_MAPS, ConfigMap, a_map

NO_SUCH_KIND = Kind("example.org", "v1", "Gadget", "gadgets", Object)


async def test_what_is_created_is_there_until_it_is_deleted(client: Client, cluster: Cluster):
    created = await client.create(CONFIG_MAPS, a_map("a", cluster.namespace, {"team": "x"}, color="red"))

    assert created == await client.get(CONFIG_MAPS, "a", cluster.namespace)
    assert ("a", {"team": "x"}, {"color": "red"}) == (created.metadata.name, created.metadata.labels, created.data)

    await client.delete(CONFIG_MAPS, "a", cluster.namespace)

    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "a", cluster.namespace)


async def test_a_kind_that_is_not_installed_is_not_found(client: Client):
    with pytest.raises(NotFound):
        await client.list(NO_SUCH_KIND)


async def test_a_name_is_taken_once(client: Client, cluster: Cluster):
    await client.create(CONFIG_MAPS, a_map("a", cluster.namespace))

    with pytest.raises(AlreadyExists):
        await client.create(CONFIG_MAPS, a_map("a", cluster.namespace))


async def test_what_is_no_object_is_refused_with_its_causes(client: Client, cluster: Cluster):
    with pytest.raises(ApiError) as refused:
        await client.create(CONFIG_MAPS, a_map("Not A Name", cluster.namespace))

    assert (422, "Invalid") == (refused.value.status, refused.value.reason)
    assert ["metadata.name"] == [cause.field for cause in refused.value.causes]


async def test_a_list_is_whole_although_it_comes_in_pages(
    client: Client, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(client_module, "PAGE_ITEMS", 2)
    for name in "abcde":
        await client.create(CONFIG_MAPS, a_map(name, cluster.namespace, {"vowel": str(name in "ae").lower()}))

    everything, version = await client.list(CONFIG_MAPS, Selection(cluster.namespace))
    vowels, _ = await client.list(CONFIG_MAPS, Selection(cluster.namespace, labels="vowel=true"))

    assert list("abcde") == [one.metadata.name for one in everything]
    assert int(version) >= int(everything[-1].metadata.resource_version)
    assert ["a", "e"] == [one.metadata.name for one in vowels]


async def test_a_watch_tells_what_happened_after_its_version(client: Client, cluster: Cluster):
    await client.create(CONFIG_MAPS, a_map("before", cluster.namespace))
    _, version = await client.list(CONFIG_MAPS, Selection(cluster.namespace))
    created = await client.create(CONFIG_MAPS, a_map("a", cluster.namespace))
    changed = await client.merge(CONFIG_MAPS, "a", cluster.namespace, {"data": {"color": "red"}})
    await client.delete(CONFIG_MAPS, "a", cluster.namespace)

    told: list[Event[ConfigMap]] = []
    async with aclosing(client.watch(CONFIG_MAPS, version, Selection(cluster.namespace))) as stream:
        async for events in stream:
            told.extend(events)
            if len(told) == 3:
                break

    assert ["ADDED", "MODIFIED", "DELETED"] == [event.type for event in told]
    assert [created, changed] == [event.object for event in told[:2]]
    versions = [int(event.version) for event in told]
    assert versions == sorted(set(versions))


async def test_a_version_that_is_too_old_cannot_be_watched(client: Client, cluster: Cluster):
    with pytest.raises(Expired):
        async with aclosing(client.watch(CONFIG_MAPS, "1", Selection(cluster.namespace))) as stream:
            async for _ in stream:
                pass


async def test_an_object_that_changed_meanwhile_is_not_replaced(client: Client, cluster: Cluster):
    read = await client.create(CONFIG_MAPS, a_map("a", cluster.namespace))
    await client.merge(CONFIG_MAPS, "a", cluster.namespace, {"data": {"color": "red"}})
    ours = a_map("a", cluster.namespace, color="blue")
    ours["metadata"]["resourceVersion"] = read.metadata.resource_version

    with pytest.raises(Conflict) as conflict:
        await client.replace(CONFIG_MAPS, ours)

    assert {} == conflict.value.owned_by_others
    assert {"color": "red"} == (await client.get(CONFIG_MAPS, "a", cluster.namespace)).data


async def test_a_later_object_of_the_same_name_is_not_deleted_in_place_of_the_first(client: Client, cluster: Cluster):
    first = await client.create(CONFIG_MAPS, a_map("a", cluster.namespace))
    await client.delete(CONFIG_MAPS, "a", cluster.namespace, first.metadata.uid)
    await client.create(CONFIG_MAPS, a_map("a", cluster.namespace))

    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAPS, "a", cluster.namespace, first.metadata.uid)
