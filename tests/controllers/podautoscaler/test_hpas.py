"""HorizontalPodAutoscalers of strategy HPA: targets as quantities, rates, and their words."""

from typing import Any

import msgspec
import pytest

from autoscaling.bounds import Bounds
from autoscaling.spec_reading import read
from controllers.metricsapi import external
from controllers.owned import Wanted
from controllers.podautoscaler.conditions import ABLE, ACTIVE
from controllers.podautoscaler.hpas import OPTIMIZER_REPLICAS, Hpa, HpaStatus, decimal, hpa_of, mirrored, owner_of
from controllers.podautoscaler.objects import PodAutoscaler
from kube.conditions import Condition
from kube.objects import Metadata, Owner
from tests.support.kubernetes.autoscalers import ARTICLE, a_source, an_autoscaler, written


def an_hpa(document: dict[str, Any], least: int = 1, most: int = 10) -> Wanted:
    autoscaler = msgspec.convert(document, PodAutoscaler)
    return hpa_of(autoscaler.metadata, read(autoscaler.document()), Bounds(least, most))


def targets(*sources: dict[str, Any]) -> list[dict[str, Any]]:
    return list(an_hpa(an_autoscaler(scalingStrategy="HPA", metricsSources=sources)).spec["metrics"])


def test_the_articles_target_of_50_is_half_of_a_ratio():
    [document] = [written(path) for path in ARTICLE if path.stem == "hpa"]

    hpa = an_hpa(document)

    assert "deepseek-r1-distill-llama-8b-hpa-hpa" == hpa.name
    target = {"type": "AverageValue", "averageValue": "500m"}
    assert [{"type": "Pods", "pods": {"metric": {"name": "gpu_cache_usage_perc"}, "target": target}}] == (
        hpa.spec["metrics"]
    )
    assert {"app.kubernetes.io/name": "aibrix", "app.kubernetes.io/managed-by": "forebay"} == hpa.metadata["labels"]
    [owner] = hpa.metadata["ownerReferences"]
    assert ("PodAutoscaler", True) == (owner["kind"], owner["controller"])


def test_resources_and_external_metrics_are_those_of_kubernetes():
    cpu = {"metricSourceType": "resource", "targetMetric": "cpu", "targetValue": "50.5"}
    memory = {"metricSourceType": "resource", "targetMetric": "memory", "targetValue": "2048"}
    queue = {"metricSourceType": "external", "targetMetric": "queue", "targetValue": "5"}

    assert [
        {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 51}},
        {"name": "memory", "target": {"type": "AverageValue", "averageValue": "2Gi"}},
    ] == [one["resource"] for one in targets(cpu, memory)]
    assert [
        {
            "type": "External",
            "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "5"}},
        }
    ] == targets(queue)
    assert "Pods" == targets(a_source(metricSourceType="custom"))[0]["type"]


def test_an_optimizers_replicas_come_from_our_metrics_api():
    source = a_source(
        metricSourceType="domain", endpoint="e:80", targetMetric="vllm:deployment_replicas", targetValue="100"
    )

    [metric] = targets(source)

    assert OPTIMIZER_REPLICAS == external.OPTIMIZER_REPLICAS == metric["external"]["metric"]["name"]
    assert {"matchLabels": {"deployment": "d"}} == metric["external"]["metric"]["selector"]
    assert "1" == metric["external"]["target"]["averageValue"]


@pytest.mark.parametrize(
    ("value", "quantity"),
    [(0.5, "500m"), (50, "50"), (1.5, "1500m"), (1500, "1500"), (2000, "2k"), (3_000_000, "3M"), (0.0001, "1m")],
)
def test_quantities_are_written_as_the_server_keeps_them(value: float, quantity: str):
    assert quantity == decimal(value)


def test_bounds_are_those_that_hold_and_never_0():
    spec = an_hpa(an_autoscaler(scalingStrategy="HPA", minReplicas=0), least=0, most=5).spec

    assert (1, 5) == (spec["minReplicas"], spec["maxReplicas"])


def test_without_rates_and_delays_it_does_as_kubernetes_does():
    assert "behavior" not in an_hpa(an_autoscaler(scalingStrategy="HPA")).spec


def test_rates_and_delays_are_passed_on():
    document = an_autoscaler(scalingStrategy="HPA")
    document["metadata"]["annotations"] = {
        "autoscaling.aibrix.ai/max-scale-up-rate": "3",
        "autoscaling.aibrix.ai/scale-down-cooldown-window": "90s",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }

    hpa = an_hpa(document)

    up, down = hpa.spec["behavior"]["scaleUp"], hpa.spec["behavior"]["scaleDown"]
    assert (0, [{"type": "Percent", "value": 200, "periodSeconds": 60}]) == (
        up["stabilizationWindowSeconds"],
        up["policies"],
    )
    assert (90, [{"type": "Percent", "value": 100, "periodSeconds": 15}]) == (
        down["stabilizationWindowSeconds"],
        down["policies"],
    )
    assert "kubectl.kubernetes.io/last-applied-configuration" not in hpa.metadata["annotations"]


def test_tolerances_are_passed_on_where_they_are_given():
    document = an_autoscaler(scalingStrategy="HPA")
    document["metadata"]["annotations"] = {"autoscaling.aibrix.ai/scale-up-tolerance": "0.05"}
    behavior = an_hpa(document).spec["behavior"]
    assert ("50m", False) == (behavior["scaleUp"]["tolerance"], "tolerance" in behavior["scaleDown"])

    document["metadata"]["annotations"] = {"autoscaling.aibrix.ai/scale-down-tolerance": "0"}
    behavior = an_hpa(document).spec["behavior"]
    assert ("0", False) == (behavior["scaleDown"]["tolerance"], "tolerance" in behavior["scaleUp"])
    assert [("Pods", 4), ("Percent", 100)] == [(one["type"], one["value"]) for one in behavior["scaleUp"]["policies"]]


def test_its_owner_is_the_autoscaler():
    owner = Owner("PodAutoscaler", "a", "u", controller=True)

    assert "n/a" == owner_of(Hpa(Metadata(name="a-hpa", namespace="n", owner_references=(owner,))))
    assert "" == owner_of(Hpa(Metadata(name="a-hpa", namespace="n")))


def test_its_words_are_ours_and_before_the_first_nothing_is_known():
    active = Condition("ScalingActive", "False", "FailedGetPodsMetric", "no such metric")

    assert {"Unknown"} == {said.status for said in mirrored(Hpa()).values()}
    said = mirrored(Hpa(status=HpaStatus(conditions=(active,))))
    assert ("False", "FailedGetPodsMetric", "no such metric") == said[ACTIVE]
    assert "Unknown" == said[ABLE].status
