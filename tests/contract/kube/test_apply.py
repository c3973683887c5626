"""Server-side apply: who owns which field."""

import msgspec
import pytest

from kube.client import Client
from kube.conditions import Condition, with_conditions
from kube.errors import Conflict
from kube.objects import Kind, Object, body
from tests.contract.kube.conftest import Cluster
from tests.support.kubernetes.maps import CONFIG_MAPS, a_map


async def test_what_is_applied_again_changes_nothing(client: Client, cluster: Cluster):
    applied = await client.apply(CONFIG_MAPS, a_map("a", cluster.namespace, color="red"))
    again = await client.apply(CONFIG_MAPS, a_map("a", cluster.namespace, color="red"))

    assert applied == again


async def test_fields_of_ours_go_when_they_are_not_applied_any_more(client: Client, cluster: Cluster):
    await client.apply(CONFIG_MAPS, a_map("a", cluster.namespace, color="red", size="big"))
    await client.merge(CONFIG_MAPS, "a", cluster.namespace, {"data": {"taste": "sweet"}})

    applied = await client.apply(CONFIG_MAPS, a_map("a", cluster.namespace, color="blue"))

    assert {"color": "blue", "taste": "sweet"} == applied.data


async def test_a_field_of_others_is_named_and_left_alone_unless_forced(client: Client, cluster: Cluster):
    async with cluster.client("somebody-else") as somebody:
        await somebody.apply(CONFIG_MAPS, a_map("a", cluster.namespace, color="red"))

    with pytest.raises(Conflict) as conflict:
        await client.apply(CONFIG_MAPS, a_map("a", cluster.namespace, color="blue"))

    owners = conflict.value.owned_by_others
    assert [".data.color"] == list(owners)
    assert "somebody-else" in owners[".data.color"]
    assert {"color": "red"} == (await client.get(CONFIG_MAPS, "a", cluster.namespace)).data

    forced = await client.apply(CONFIG_MAPS, a_map("a", cluster.namespace, color="blue"), force=True)

    assert {"color": "blue"} == forced.data


class DeploymentStatus(Object, frozen=True):
    """The part of a Deployment that this test writes."""

    status: dict[str, list[Condition]] = msgspec.field(default_factory=dict)


DEPLOYMENTS = Kind("apps", "v1", "Deployment", "deployments", DeploymentStatus)


async def test_conditions_are_written_to_the_status(client: Client, cluster: Cluster):
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    await client.apply(DEPLOYMENTS, body(DEPLOYMENTS, "a", cluster.namespace, spec=spec))
    said = Condition("example.org/Routed", "True", "Routed", "two pods")
    (written,) = with_conditions((), [said], generation=1, now_s=1_800_000_000)
    condition = msgspec.to_builtins(written)
    del condition["observedGeneration"]  # conditions of Deployments have none
    status = {"conditions": [condition]}

    await client.apply(DEPLOYMENTS, body(DEPLOYMENTS, "a", cluster.namespace, status=status), "status")

    (read,) = (await client.get(DEPLOYMENTS, "a", cluster.namespace)).status["conditions"]
    assert ("example.org/Routed", "True", "2027-01-15T08:00:00Z") == (read.type, read.status, read.last_transition_time)
