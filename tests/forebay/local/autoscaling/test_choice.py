"""Strategies that this machine has metrics for."""

import pytest

from autoscaling.spec_reading import read
from forebay.local.autoscaling.choice import Autoscale

SOURCE = {"metricSourceType": "pod", "protocolType": "http", "port": "8000", "path": "/metrics"}
SPEC = {"scaleTargetRef": {"kind": "Deployment", "name": "engines"}, "scalingStrategy": "KPA", "maxReplicas": 2}


def a_choice(**source: str) -> Autoscale:
    sources = [{**SOURCE, "targetMetric": "m", "targetValue": "1", **source}]
    return Autoscale(read({"spec": {**SPEC, "metricsSources": sources}}), 5.0)


def test_metrics_of_engines_are_there() -> None:
    assert 2 == a_choice().spec.most


def test_metrics_of_other_servers_are_not() -> None:
    with pytest.raises(ValueError, match="metrics of engines only"):
        a_choice(metricSourceType="external", endpoint="example.org:80")
