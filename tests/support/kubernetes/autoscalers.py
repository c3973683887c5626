"""PodAutoscalers as the seeds of this project print them, and others, for tests.

Lives here: objects.  Not here: what must come of them (tests).
"""

from pathlib import Path
from typing import Any

import yaml

from tests.support.source_tree import ROOT

KIND = ROOT / "deploy/base/crds/podautoscalers.yaml"
ARTICLE = sorted((ROOT / "samples/article/podautoscalers").glob("*.yaml"))
"""Those of the article, one per strategy: apa, hpa, kpa."""
HETEROGENEOUS = sorted((ROOT / "samples/heterogeneous").glob("podautoscaler-*.yaml"))


def written(path: Path) -> dict[str, Any]:
    """The object in a file."""
    return dict(yaml.safe_load(path.read_text()))


def an_autoscaler(name: str = "a", **spec: Any) -> dict[str, Any]:
    """An autoscaler with strategy KPA of the Deployment `d`, by running requests; `spec` are fields that differ."""
    source = {
        "metricSourceType": "pod", "protocolType": "http", "port": "8000", "path": "/metrics",
        "targetMetric": "vllm:num_requests_running", "targetValue": "10",
    }  # fmt: skip
    usual = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        "minReplicas": 1,
        "maxReplicas": 8,
        "scalingStrategy": "KPA",
        "metricsSources": [source],
    }
    made = {key: value for key, value in (usual | spec).items() if value is not None}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "autoscaling.aibrix.ai/v1alpha1", "kind": "PodAutoscaler", "metadata": metadata, "spec": made}


def a_source(**fields: Any) -> dict[str, Any]:
    """The source of such an autoscaler, with fields that differ; None leaves one out."""
    [source] = an_autoscaler()["spec"]["metricsSources"]
    return {key: value for key, value in (source | fields).items() if value is not None}
