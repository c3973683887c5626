"""The order of the pools, for each scheduler."""

from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.support.rendered import named, rendered

Problems = Callable[[dict[str, Any]], list[str]]

RESOURCE_POLICY = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "scheduling.alibabacloud.com/v1alpha1"},
        "kind": {"const": "ResourcePolicy"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "required": ["selector", "units"],
            "additionalProperties": False,
            "properties": {
                "selector": {"type": "object", "additionalProperties": {"type": "string"}},
                "strategy": {"enum": ["prefer"]},
                "preemptPolicy": {"enum": ["BeforeNextUnit", "AfterAllUnits", "Never"]},
                "matchLabelKeys": {"type": "array", "items": {"type": "string"}},
                "ignorePreviousPod": {"type": "boolean"},
                "ignoreTerminatingPod": {"type": "boolean"},
                "whenTryNextUnits": {"type": "object"},
                "units": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["resource"],
                        "additionalProperties": False,
                        "properties": {
                            "resource": {"enum": ["ecs", "eci", "elastic", "acs"]},
                            "nodeSelector": {"type": "object", "additionalProperties": {"type": "string"}},
                            "max": {"type": "integer", "minimum": 0},
                            "priority": {"type": "integer"},
                        },
                    },
                },
            },
        },
    },
}
"""The schema as the documentation of ACK describes it; the kind itself is not public."""
NODE_POOLS = (
    "--pool", "ecs:alibabacloud.com/nodepool-id=npxxxxxx", "--pool", "elastic:alibabacloud.com/nodepool-id=npxxxxxy"
)  # fmt: skip


@pytest.mark.parametrize(("engine", "app"), [("kserve", "isvc.qwen-chat-predictor"), ("deployment", "qwen-chat")])
def test_acks_policy_selects_the_pods_that_there_are(engine: str, app: str):
    policy = named(rendered(*NODE_POOLS, engine=engine))["ResourcePolicy", "qwen-chat"]

    assert [] == list(Draft202012Validator(RESOURCE_POLICY).iter_errors(policy))
    assert {"app": app} == policy["spec"]["selector"]
    assert [("ecs", "npxxxxxx"), ("elastic", "npxxxxxy")] == [
        (unit["resource"], unit["nodeSelector"]["alibabacloud.com/nodepool-id"]) for unit in policy["spec"]["units"]
    ]


def test_pods_prefer_the_first_pool_by_themselves_and_are_let_into_the_others():
    pod = named(rendered())["InferenceService", "qwen-chat"]["spec"]["predictor"]
    terms = pod["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]

    assert [(100, ["own"]), (50, ["cloud"])] == [
        (term["weight"], term["preference"]["matchExpressions"][0]["values"]) for term in terms
    ]
    assert ["cloud"] == [each["value"] for each in pod["tolerations"]]


def test_each_autoscaler_of_nodes_is_told_the_same_order():
    objects = named(rendered("--scheduler", "cluster-autoscaler", "--scheduler", "karpenter", "--scheduler", "kueue"))

    priorities = objects["ConfigMap", "cluster-autoscaler-priority-expander"]["data"]["priorities"]
    weights = [objects["NodePool", f"qwen-chat-{index}"]["spec"]["weight"] for index in (0, 1)]
    [group] = objects["ClusterQueue", "qwen-chat"]["spec"]["resourceGroups"]
    labels = objects["InferenceService", "qwen-chat"]["spec"]["predictor"]["labels"]

    assert "10:\n  - .*cloud.*\n20:\n  - .*own.*\n" == priorities
    assert weights[0] > weights[1]
    assert ["own", "cloud"] == [flavor["name"] for flavor in group["flavors"]]
    assert "qwen-chat" == labels["kueue.x-k8s.io/queue-name"]
    assert ("ResourcePolicy", "qwen-chat") not in objects


@pytest.mark.parametrize("scheduler", ["karpenter", "kueue"])
def test_karpenter_and_kueue_take_theirs(problems_of: Problems, scheduler: str):
    kinds = {"NodePool", "ResourceFlavor", "ClusterQueue", "LocalQueue"}
    objects = [one for one in rendered("--scheduler", scheduler) if one["kind"] in kinds]

    assert len(objects) >= 2
    assert {one["metadata"]["name"]: [] for one in objects} == {
        one["metadata"]["name"]: problems_of(one) for one in objects
    }
