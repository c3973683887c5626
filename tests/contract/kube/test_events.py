"""Events as the server keeps them."""

from random import Random
from typing import Any

import msgspec

from kube.client import Client, Selection
from kube.events import EVENTS, About, Recorder
from kube.objects import Kind, Object
from tests.contract.kube.conftest import Cluster
from tests.support.kubernetes.hands import Hands
from tests.support.kubernetes.maps import CONFIG_MAPS, a_map


class Written(Object, frozen=True):
    """An event as it is read."""

    regarding: dict[str, str] = msgspec.field(default_factory=dict)
    reason: str = ""
    note: str = ""
    type: str = ""
    series: dict[str, Any] | None = None


READ_EVENTS = Kind(EVENTS.group, EVENTS.version, EVENTS.name, EVENTS.plural, Written)


async def test_a_repeated_event_is_one_with_a_count(client: Client, cluster: Cluster):
    hands = Hands()
    recorder = Recorder(client, "forebay.io/routes", "pod-1", clocks=hands.clocks(), rng=Random(1), every_s=60)
    about = About(CONFIG_MAPS, (await client.create(CONFIG_MAPS, a_map("a", cluster.namespace))).metadata)

    for pause_s in (0, 10, 10, 41):
        hands.now_s += pause_s
        await recorder.tell(about, "PortMissing", "no port 8000", warning=True)

    (event,), _ = await client.list(READ_EVENTS, Selection(cluster.namespace))
    assert ("PortMissing", "no port 8000", "Warning") == (event.reason, event.note, event.type)
    assert about.metadata.uid == event.regarding["uid"]
    assert event.series is not None
    assert 4 == event.series["count"]


async def test_other_reasons_and_other_objects_are_other_events(client: Client, cluster: Cluster):
    recorder = Recorder(client, "forebay.io/routes", "pod-1", clocks=Hands().clocks(), rng=Random(1))
    first, second = [
        About(CONFIG_MAPS, (await client.create(CONFIG_MAPS, a_map(name, cluster.namespace))).metadata) for name in "ab"
    ]

    await recorder.tell(first, "Routed", "x" * 3000)
    await recorder.tell(first, "Unrouted", "")
    await recorder.tell(second, "Routed", "")

    events, _ = await client.list(READ_EVENTS, Selection(cluster.namespace))
    assert [("a", "Routed", 1024), ("a", "Unrouted", 0), ("b", "Routed", 0)] == sorted(
        (event.regarding["name"], event.reason, len(event.note)) for event in events
    )
