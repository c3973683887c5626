"""PodAutoscaler objects for tests: those of the seeds as they were printed, and small ones."""

from typing import Any

import pytest

from autoscaling.spec_reading import SpecError, read

S1_NAME = "podautoscaler-deepseek-coder-7b-v100"
S2_NAME = "deepseek-r1-distill-llama-8b"


def s1() -> dict[str, Any]:
    """Return the object of the page about heterogeneous GPUs: an optimizer decides."""
    return {
        "apiVersion": "autoscaling.aibrix.ai/v1alpha1",
        "kind": "PodAutoscaler",
        "metadata": {
            "labels": {
                "app.kubernetes.io/managed-by": "kustomize",
                "app.kubernetes.io/name": "aibrix",
                "kpa.autoscaling.aibrix.ai/scale-down-delay": "0s",
            },
            "name": S1_NAME,
            "namespace": "default",
        },
        "spec": {
            "maxReplicas": 10,
            "metricsSources": [
                {
                    "endpoint": "aibrix-gpu-optimizer.aibrix-system.svc.cluster.local:8080",
                    "metricSourceType": "domain",
                    "path": "/metrics/default/deepseek-coder-7b-v100",
                    "protocolType": "http",
                    "targetMetric": "vllm:deployment_replicas",
                    "targetValue": "100",
                }
            ],
            "minReplicas": 0,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "deepseek-coder-7b-v100"},
            "scalingStrategy": "KPA",
        },
    }


def s2(strategy: str) -> dict[str, Any]:
    """Return an object of the article about deploying, of one of its three strategies."""
    annotations, most, path, target = {
        "HPA": ({}, 10, "/metrics", "50"),
        "KPA": (S2_KPA_ANNOTATIONS, 8, "metrics", "0.5"),
        "APA": (S2_APA_ANNOTATIONS, 8, "metrics", "0.5"),
    }[strategy]
    metadata: dict[str, Any] = {
        "name": f"{S2_NAME}-{strategy.lower()}",
        "namespace": "default",
        "labels": {"app.kubernetes.io/name": "aibrix", "app.kubernetes.io/managed-by": "kustomize"},
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    source = {
        "metricSourceType": "pod", "protocolType": "http", "port": "8000", "path": path,
        "targetMetric": "gpu_cache_usage_perc", "targetValue": target,
    }  # fmt: skip
    return {
        "apiVersion": "autoscaling.aibrix.ai/v1alpha1",
        "kind": "PodAutoscaler",
        "metadata": metadata,
        "spec": {
            "scalingStrategy": strategy, "minReplicas": 1, "maxReplicas": most, "metricsSources": [source],
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": S2_NAME},
        },
    }  # fmt: skip


S2_KPA_ANNOTATIONS = {
    "kpa.autoscaling.aibrix.ai/target-burst-capacity": "2.0",
    "kpa.autoscaling.aibrix.ai/activation-scale": "2",
    "kpa.autoscaling.aibrix.ai/panic-threshold": "2.0",
    "kpa.autoscaling.aibrix.ai/stable-window": "60s",
    "kpa.autoscaling.aibrix.ai/panic-window": "10s",
    "kpa.autoscaling.aibrix.ai/scale-down-delay": "30m",
}
S2_APA_ANNOTATIONS = {
    "autoscaling.aibrix.ai/up-fluctuation-tolerance": "0.1",
    "autoscaling.aibrix.ai/down-fluctuation-tolerance": "0.2",
    "apa.autoscaling.aibrix.ai/window": "30s",
}


def a_pod_autoscaler(
    strategy: str = "KPA",
    *,
    target: str = "10",
    metric: str = "running",
    least: int = 1,
    most: int = 10,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Return a small object with one metric of pods; `spec` overrides or adds fields of its specification."""
    source = {
        "metricSourceType": "pod", "protocolType": "http", "port": "8000", "path": "/metrics",
        "targetMetric": metric, "targetValue": target,
    }  # fmt: skip
    return {
        "metadata": {"name": "a", "annotations": annotations or {}},
        "spec": {
            "scalingStrategy": strategy,
            "minReplicas": least,
            "maxReplicas": most,
            "metricsSources": [source],
            "scaleTargetRef": {"kind": "Deployment", "name": "a"},
        }
        | spec,
    }


def problems_of(document: dict[str, Any]) -> tuple[str, ...]:
    """Return the problems that reading the object has; fails where it has none."""
    with pytest.raises(SpecError) as caught:
        read(document)
    return caught.value.problems
