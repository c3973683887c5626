"""The JSON of the metrics APIs, as Kubernetes' controllers and `kubectl get --raw` read it.

Lives here: documents, without I/O.  Not here: paths (api), values (external, pods).  Types of k8s.io/metrics
(`external_metrics/v1beta1`, `custom_metrics/v1beta1` and `v1beta2`) and metav1.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from kube.quantities import render
from kube.times import timestamp

EXTERNAL, CUSTOM = "external.metrics.k8s.io", "custom.metrics.k8s.io"
VERSIONS: Mapping[str, Sequence[str]] = {EXTERNAL: ("v1beta1",), CUSTOM: ("v1beta2", "v1beta1")}
"""The versions of each API; the first is preferred."""
API_SERVICES = tuple(f"{version}.{group}" for group, versions in VERSIONS.items() for version in versions)
"""Names of the APIServices that lead to them."""


class MissingError(Exception):
    """There is no value; the message says why.  An autoscaler then leaves replicas alone, which it would not at 0."""


class Value(NamedTuple):
    """One value of an external metric."""

    labels: Mapping[str, str]
    value: float


def group(name: str) -> dict[str, Any]:
    """Return the APIGroup: its versions."""
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in VERSIONS[name]]
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": versions, "preferredVersion": versions[0]}


def resources(name: str, version: str, metrics: Iterable[str], kind: str) -> dict[str, Any]:
    """Return the APIResourceList: the metrics that there may be."""
    described = [
        {"name": metric, "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get"]} for metric in metrics
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{name}/{version}", "resources": described}


def external_values(metric: str, values: Iterable[Value], now_s: float) -> dict[str, Any]:
    """Return the ExternalMetricValueList."""
    items = [
        {"metricName": metric, "metricLabels": dict(labels), "timestamp": timestamp(now_s), "value": render(value)}
        for labels, value in values
    ]
    return {"kind": "ExternalMetricValueList", "apiVersion": f"{EXTERNAL}/v1beta1", "metadata": {}, "items": items}


def pod_values(version: str, namespace: str, metric: str, values: Mapping[str, float], now_s: float) -> dict[str, Any]:
    """Return the MetricValueList of pods, whose values are by name."""
    named = {"metric": {"name": metric}} if version == "v1beta2" else {"metricName": metric}
    items = [
        {
            "describedObject": {"kind": "Pod", "namespace": namespace, "name": pod, "apiVersion": "/v1"},
            **named,
            "timestamp": timestamp(now_s),
            "value": render(value),
        }
        for pod, value in values.items()
    ]
    return {"kind": "MetricValueList", "apiVersion": f"{CUSTOM}/{version}", "metadata": {}, "items": items}


def failure(status: HTTPStatus, message: str) -> dict[str, Any]:
    """Return the Status of an answer that is an error."""
    reason = "".join(word.capitalize() for word in status.phrase.split())
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason,
        "code": int(status),
    }  # fmt: skip
