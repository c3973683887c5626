"""Labels, annotations and status of the objects of a cluster, and the fleet that they make."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import structlog

from gateway.config.settings import EndpointSettings, ModelSettings
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.discovery.models import describe
from gateway.discovery.pods import (
    CONFIG,
    PODS,
    Adapter,
    AdapterPods,
    AdapterSpec,
    AdapterStatus,
    Cluster,
    Fleet,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
    endpoint_of,
    policy_of,
)
from kube.models import Container, Resources
from kube.objects import Metadata, Object, Owner
from routing.table import STRATEGIES

MADE = "2027-01-15T08:00:00Z"
READY = (PodCondition("Initialized", "True"), PodCondition("Ready", "True"))


def a_pod(
    name: str = "pod-a",
    ip: str = "10.0.0.1",
    *,
    labels: Mapping[str, str] = {},
    made: str = MADE,
    leaving: bool = False,
    phase: str = "Running",
    conditions: tuple[PodCondition, ...] = READY,
    gpu: str = "",
    config: str = "",
    owner: Owner | None = None,
) -> Pod:
    """A ready pod of the model "m"."""
    metadata = Metadata(
        name=name,
        namespace="default",
        uid=f"uid of {name} of {made}",
        creation_timestamp=made,
        deletion_timestamp=MADE if leaving else None,
        labels={"model.aibrix.ai/name": "m", **labels},
        annotations={CONFIG: config} if config else {},
        owner_references=(owner,) if owner else (),
    )
    resources = Resources(limits={gpu: "1"}) if gpu else Resources()
    return Pod(metadata, PodSpec("node-1", (Container(resources),)), PodStatus(phase, ip, conditions))


def a_node(**labels: str) -> Object:
    return Object(Metadata(name="node-1", labels=labels))


def a_deployment(name: str = "d", labels: Mapping[str, str] = {}, config: str = "") -> Object:
    labels = {"model.aibrix.ai/name": "m", **labels}
    return Object(Metadata(name, "default", labels=labels, annotations={CONFIG: config} if config else {}))


def a_cluster(*pods: Pod, node: Object | None = None, workload: Object | None = None) -> Cluster:
    nodes = {node.metadata.key: node} if node else {}
    workloads = {("Deployment", workload.metadata.key): workload} if workload else {}
    return Cluster({pod.metadata.key: pod for pod in pods}, nodes, workloads)


def test_a_cluster_and_yaml_say_the_same():
    pod = a_pod(
        labels={
            "model.aibrix.ai/port": "9000",
            "model.aibrix.ai/metric-port": "9100",
            "model.aibrix.ai/engine": "sglang",
            "forebay.io/gpu": "L20",
            "forebay.io/pool": "local",
            "pod-template-hash": "5d8f",
        },
        owner=Owner("ReplicaSet", "d-5d8f", controller=True),
        config='{"profiles": {"default": {"routingStrategy": "random", "requestsPerSecond": 7}, "fast": {}}}',
    )
    listed = EndpointSettings(
        address="10.0.0.1:9000", name="pod-a", engine="sglang", metric_port=9100, gpu="L20", pool="local",
        deployment="d", labels=dict(pod.metadata.labels),
    )  # fmt: skip

    by_cluster = Fleet(STRATEGIES).describe(a_cluster(pod))
    by_yaml = describe((ModelSettings(name="m", strategy="random", rps=7, endpoints=(listed,)),))
    model, profiles = by_cluster.models["m"], by_cluster.models["m"].profiles

    of_the_cluster_only = {"id": "default/pod-a", "node": "node-1", "started_at": 1_800_000_000.0}
    assert by_yaml.models == {"m": replace(model, profiles={})}
    assert {"default": by_yaml.models["m"], "fast": ModelPolicy()} == profiles
    assert (replace(by_yaml.endpoints[0], **of_the_cluster_only),) == by_cluster.endpoints


@pytest.mark.parametrize(
    ("pod", "ready", "draining"),
    [
        (a_pod(), True, False),
        (a_pod(conditions=(PodCondition("Ready", "False"),)), False, False),
        (a_pod(conditions=()), False, False),
        (a_pod(leaving=True), True, True),
    ],
)
def test_ready_and_draining_are_what_the_status_says(pod: Pod, ready: bool, draining: bool):
    endpoint = endpoint_of(pod, None, None)

    assert endpoint is not None
    assert (ready, draining) == (endpoint.ready, endpoint.draining)


@pytest.mark.parametrize(
    "pod",
    [a_pod(ip=""), a_pod(phase="Failed"), a_pod(phase="Succeeded"), a_pod(labels={"ray.io/node-type": "worker"})],
)
def test_some_pods_are_no_endpoints(pod: Pod):
    assert None is endpoint_of(pod, None, None)


def test_heads_of_ray_are():
    assert endpoint_of(a_pod(labels={"ray.io/node-type": "head"}), None, None)


@pytest.mark.parametrize(
    ("port", "workload_port", "address"),
    [("9000", "8001", "10.0.0.1:9000"), (None, "8001", "10.0.0.1:8001"), (None, None, "10.0.0.1:8000"),
     ("http", "70000", "10.0.0.1:8000")],
)  # fmt: skip
def test_the_port_is_the_pods_or_the_workloads_or_8000(port: str | None, workload_port: str | None, address: str):
    name = "model.aibrix.ai/port"
    pod = a_pod(labels={name: port} if port else {})
    workload = a_deployment(labels={name: workload_port} if workload_port else {})

    endpoint = endpoint_of(pod, None, workload)

    assert endpoint is not None
    assert address == endpoint.address


def test_an_address_of_ipv6_is_in_brackets():
    endpoint = endpoint_of(a_pod(ip="fd00::1", labels={"model.aibrix.ai/metric-port": "1"}), None, None)

    assert endpoint is not None
    assert ("[fd00::1]:8000", "[fd00::1]:1") == (endpoint.address, endpoint.metrics)


@pytest.mark.parametrize(
    ("pod", "node", "gpu"),
    [
        (a_pod(labels={"forebay.io/gpu": "H100"}), a_node(**{"forebay.io/gpu": "L20"}), "H100"),
        (a_pod(), a_node(**{"forebay.io/gpu": "L20", "nvidia.com/gpu.product": "NVIDIA-L20"}), "L20"),
        (a_pod(gpu="nvidia.com/gpu"), a_node(**{"nvidia.com/gpu.product": "NVIDIA-L20"}), "NVIDIA-L20"),
        (a_pod(gpu="nvidia.com/nvidia-rtx-3090-24GB"), None, "nvidia-rtx-3090-24GB"),
        (a_pod(gpu="nvidia.com/gpu"), None, ""),
        (a_pod(gpu="nvidia.com/mig-1g.5gb"), None, ""),
        (a_pod(gpu="example.com/fpga"), None, ""),
    ],
)
def test_the_gpu_is_named_by_the_pod_its_node_or_what_it_asks_for(pod: Pod, node: Object | None, gpu: str):
    endpoint = endpoint_of(pod, node, None)

    assert endpoint is not None
    assert gpu == endpoint.gpu_type


def test_the_pool_is_named_by_the_pod_or_its_node():
    node = a_node(**{"forebay.io/pool": "cloud"})
    pools = [endpoint_of(pod, node, None).pool for pod in (a_pod(labels={"forebay.io/pool": "local"}), a_pod())]

    assert ["local", "cloud"] == pools


@pytest.mark.parametrize(
    ("label", "priority"), [("3", 3), ("-1", -1), ("", 0), ("1001", 0), ("9999999", 0), ("1.5", 0), ("\u0663", 0)]
)
def test_the_rank_of_the_pool_is_a_label_and_0_where_it_says_none(label: str, priority: int) -> None:
    labels = {"forebay.io/pool-priority": label}

    assert priority == endpoint_of(a_pod(labels=labels), None, None).pool_priority
    assert priority == endpoint_of(a_pod(), a_node(**labels), None).pool_priority


def test_workloads_of_two_kinds_may_share_a_name():
    ports = {"Deployment": "9001", "StatefulSet": "9002"}
    workloads = {
        (kind, "default/d"): a_deployment(labels={"model.aibrix.ai/port": port, "model.aibrix.ai/name": kind})
        for kind, port in ports.items()
    }
    pods = [a_pod("a", owner=Owner("ReplicaSet", "d", controller=True)),
            a_pod("b", ip="10.0.0.2", owner=Owner("StatefulSet", "d", controller=True))]  # fmt: skip

    fleet = Fleet(STRATEGIES).describe(Cluster({pod.metadata.key: pod for pod in pods}, {}, workloads))

    assert {"m", "Deployment", "StatefulSet"} == fleet.models.keys()
    assert {"10.0.0.1:9001", "10.0.0.2:9002"} == {endpoint.address for endpoint in fleet.endpoints}


def test_a_model_is_known_by_its_workload_while_it_has_no_pod():
    fleet = Fleet(STRATEGIES)

    assert {"m": ModelPolicy()} == fleet.describe(a_cluster(workload=a_deployment())).models
    assert {} == fleet.describe(a_cluster()).models


def test_an_address_is_the_newest_pods():
    old = a_pod("old", made="2027-01-15T07:00:00Z", leaving=True)
    new = a_pod("new")

    for pods in ((old, new), (new, old)):
        assert ["new"] == [endpoint.name for endpoint in Fleet(STRATEGIES).describe(a_cluster(*pods)).endpoints]


def test_a_pod_that_did_not_change_keeps_its_endpoint_and_one_of_the_same_name_is_another():
    fleet, first = Fleet(STRATEGIES), a_pod()
    (before,) = fleet.describe(a_cluster(first)).endpoints
    (same,) = fleet.describe(a_cluster(first)).endpoints
    (moved,) = fleet.describe(a_cluster(first, node=a_node(**{"forebay.io/pool": "p"}))).endpoints
    (later,) = fleet.describe(a_cluster(a_pod(made="2027-01-15T09:00:00Z"))).endpoints

    assert before is same
    assert "p" == moved.pool
    assert before.id == later.id
    assert before.started_at != later.started_at


@pytest.mark.parametrize(
    ("config", "policy"),
    [
        ("", ModelPolicy()),
        ('{"profiles": {"default": {"routingStrategy": "random"}}}', ModelPolicy("random")),
        (
            '{"defaultProfile": "x", "profiles": {"default": {"routingStrategy": "random"}, "x": '
            '{"routingStrategy": "throughput:2,random", "requestsPerSecond": 5, "routingConfig": {"a": [1]}}}}',
            ModelPolicy("throughput:2,random", rps=5),
        ),
        (
            '{"lockedRoutingStrategy": "random", "profiles": {"default": {"routingStrategy": "throughput"}}}',
            ModelPolicy("random", locked=True),
        ),
        ('{"defaultProfile": "absent", "profiles": {}}', ModelPolicy()),
        ('{"scalesFromZero": true}', ModelPolicy(scales_from_zero=True)),
        (
            '{"scalesFromZero": true, "profiles": {"default": {"requestsPerSecond": 5}}}',
            ModelPolicy(rps=5, scales_from_zero=True),
        ),
    ],
)
def test_the_annotation_is_the_models_policy(config: str, policy: ModelPolicy):
    assert policy == replace(policy_of("m", config, STRATEGIES), profiles={})


def test_each_profile_is_a_policy_under_the_lock_of_all():
    config = """{"lockedRoutingStrategy": "random", "profiles":
        {"a": {"routingStrategy": "throughput", "requestsPerSecond": 5}, "b": {"routingStrategy": "no-such"}}}"""

    policy = policy_of("m", config, STRATEGIES)

    locked = ModelPolicy("random", locked=True)
    assert replace(locked, profiles={"a": replace(locked, rps=5), "b": locked}) == policy


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        '{"profiles": 7}',
        '{"lockedRoutingStrategy": "pd"}',
        '{"lockedRoutingStrategy": "random:x"}',
        '{"defaultProfile": "absent"}',
        '{"profiles": {"default": {"requestsPerSecond": -1}}}',
        '{"profiles": {"default": {"requestsPerSecond": 9007199254740993}}}',
        pytest.param('{"other": ' + "[" * 2_000 + "]" * 2_000 + "}", id="nested too deeply"),
    ],
)
def test_an_annotation_that_cannot_be_used_is_logged_once_and_the_default_holds(config: str):
    fleet = Fleet(STRATEGIES)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            policies = fleet.describe(a_cluster(a_pod(config=config))).models

    assert {"m": ModelPolicy()} == policies
    assert ["model_config_ignored"] == [entry["event"] for entry in logs]


@pytest.mark.parametrize("member", ["lockedRoutingStrategy", "defaultProfile"])
def test_the_log_quotes_the_beginning_of_a_long_annotation(member: str):
    with structlog.testing.capture_logs() as logs:
        policy_of("m", f'{{"{member}": "{"x" * 9_000}"}}', STRATEGIES)

    assert ["x" * 80] == [entry["why"].split("'")[1] for entry in logs]


def test_an_annotation_that_no_pod_has_any_more_is_forgotten():
    fleet = Fleet(STRATEGIES)
    for rps in range(1, 4):
        fleet.describe(a_cluster(a_pod(config=f'{{"profiles": {{"default": {{"requestsPerSecond": {rps}}}}}}}')))

    assert [3] == [policy.rps for policy in fleet._policies.values()]


def test_the_annotation_of_the_newest_pod_counts_before_the_workloads():
    random, throughput, least = (
        msgspec.json.encode({"lockedRoutingStrategy": name}).decode()
        for name in ("random", "throughput", "least-request")
    )
    old, new = a_pod("old", config=random), a_pod("new", "10.0.0.2", made="2027-01-15T09:00:00Z", config=throughput)
    workload = a_deployment(config=least)

    for pods in ((old, new), (new, old)):
        models = Fleet(STRATEGIES).describe(a_cluster(*pods, workload=workload)).models
        assert ModelPolicy("throughput", locked=True) == models["m"]
    assert (
        ModelPolicy("least-request", locked=True)
        == Fleet(STRATEGIES).describe(a_cluster(workload=workload)).models["m"]
    )


def test_a_pod_as_the_server_sends_it_is_read():
    sent: dict[str, Any] = {
        "metadata": {"name": "a", "namespace": "n", "labels": {"model.aibrix.ai/name": "m"}, "creationTimestamp": MADE},
        "spec": {"nodeName": "x", "containers": [{"name": "c", "resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}]},
        "status": {"podIP": "10.0.0.9", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }  # fmt: skip

    endpoint = endpoint_of(PODS.decode(msgspec.json.encode(sent)), None, None)

    assert endpoint is not None
    assert ("n/a", "10.0.0.9:8000", True, "x") == (endpoint.id, endpoint.address, endpoint.ready, endpoint.node)


def an_adapter(name: str, *pods: str, base: str = "", **metadata: str) -> Adapter:
    return Adapter(Metadata(name, "default", **metadata), AdapterSpec(base), AdapterStatus(pods))


def with_adapters(*adapters: Adapter, pods: Sequence[Pod]) -> FleetDescription:
    cluster = a_cluster(*pods)._replace(adapters={one.metadata.key: one for one in adapters})
    return Fleet(STRATEGIES).describe(cluster)


def test_an_adapter_is_a_model_of_the_pods_that_have_loaded_it_with_the_policy_of_its_base():
    random = '{"profiles": {"default": {"routingStrategy": "random"}}}'
    pods = [a_pod("pod-a", config=random), a_pod("pod-b", ip="10.0.0.2", config=random)]
    fleet = with_adapters(an_adapter("lora", "pod-b", "pod-c"), an_adapter("cold", base="m"), pods=pods)

    assert {"pod-a": ("m",), "pod-b": ("m", "lora")} == {one.name: one.models for one in fleet.endpoints}
    assert {"m": "random", "lora": "random", "cold": "random"} == {
        model: policy.strategy for model, policy in fleet.models.items()
    }


def test_an_adapter_that_is_about_to_go_is_sent_nothing_and_one_of_nobody_is_known():
    going = an_adapter("going", "pod-a", deletion_timestamp="2026-01-01T00:00:00Z")
    fleet = with_adapters(going, an_adapter("lost", base="nobody's"), pods=[a_pod("pod-a")])

    assert [("m",)] == [one.models for one in fleet.endpoints]
    assert {"m", "going", "lost"} == fleet.models.keys()


def test_requests_wait_for_an_adapter_as_its_base_says_unless_it_is_about_to_go():
    config = '{"waitsForAdapters": true}'
    going = an_adapter("going", base="m", deletion_timestamp="2026-01-01T00:00:00Z")
    spec = AdapterSpec(pod_selector=AdapterPods({"model.aibrix.ai/name": "m"}))
    by_labels = Adapter(Metadata("by-labels", "default"), spec)
    fleet = with_adapters(an_adapter("cold", base="m"), going, by_labels, pods=[a_pod("pod-a", config=config)])

    assert {"m": False, "cold": True, "by-labels": True, "going": False} == {
        model: policy.scales_from_zero for model, policy in fleet.models.items()
    }
    assert {"cold": "m", "by-labels": "m", "going": "m"} == fleet.adapters


def test_an_adapter_named_like_its_base_model_changes_nothing():
    fleet = with_adapters(an_adapter("m", "pod-a"), pods=[a_pod("pod-a")])

    assert [("m",)] == [one.models for one in fleet.endpoints]


def test_an_adapter_that_is_loaded_changes_its_pod_alone():
    fleet, pods = Fleet(STRATEGIES), [a_pod("pod-a"), a_pod("pod-b", ip="10.0.0.2")]
    before = fleet.describe(a_cluster(*pods)).endpoints
    adapter = an_adapter("lora", "pod-a")
    after = fleet.describe(a_cluster(*pods)._replace(adapters={"default/lora": adapter})).endpoints

    assert (False, True) == (before[0] == after[0], before[1] is after[1])
