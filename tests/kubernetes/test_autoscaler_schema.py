"""The schema of PodAutoscalers on a real API server: what it takes, and what it says of the rest."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.kubernetes.autoscalers import ARTICLE, HETEROGENEOUS, KIND, a_source, an_autoscaler
from tests.support.kubernetes.control_plane import ControlPlane

DRY = ("--dry-run=server", "--validate=strict", "-o", "name")


@pytest.fixture(scope="module", autouse=True)
def _kind(plane: ControlPlane) -> None:
    plane.kubectl("apply", "--server-side", "-f", KIND)
    plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", KIND)


def said(plane: ControlPlane, one: dict[str, Any]) -> str:
    """The server's word on an object: its name, or why it is not taken."""
    try:
        return plane.kubectl("create", *DRY, "-f", "-", given=json.dumps(one)).strip()
    except AssertionError as error:
        return str(error)


@pytest.mark.parametrize("path", [*ARTICLE, *HETEROGENEOUS], ids=lambda path: path.stem)
def test_the_objects_that_people_know_are_taken(plane: ControlPlane, path: Path):
    assert plane.kubectl("create", *DRY, "-f", path).startswith("podautoscaler.autoscaling.aibrix.ai/")


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"minReplicas": 0},
        {"minReplicas": None, "maxReplicas": 1},
        {"scalingStrategy": "SLO", "metricsSources": None},
        {"metricsSources": [a_source(targetValue="0.5"), a_source(targetValue="1e2"), a_source(targetValue=".5")]},
        {"metricsSources": [{"metricSourceType": "resource", "targetMetric": "cpu", "targetValue": "50"}]},
        {"metricsSources": [{"metricSourceType": "external", "targetMetric": "queue", "targetValue": "5"}]},
        {"metricsSources": [a_source(metricSourceType="domain", endpoint="e:80", port=None)]},
        {"observeWindowSeconds": 60, "panicWindowSeconds": 60, "predictive": {"mode": "Auto"}},
        {"schedules": [{"name": "day", "daysOfWeek": ["Mon", "fri"], "startTime": "08:00", "endTime": "20:00",
                        "timezone": "Europe/Berlin", "minReplicas": 2}]},
        {"scaleTargetRef": {"kind": "StormService", "name": "s"}, "subTargetSelector": {"roleName": "prefill"}},
    ],
)  # fmt: skip
def test_what_is_right_is_taken(plane: ControlPlane, spec: dict[str, Any]):
    assert "podautoscaler.autoscaling.aibrix.ai/a" == said(plane, an_autoscaler(**spec))


A_DAY = {"name": "day", "startTime": "08:00", "endTime": "20:00", "minReplicas": 2}


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"scalingStrategy": "XPA"}, 'spec.scalingStrategy: Unsupported value: "XPA"'),
        ({"maxReplicas": 0}, "spec.maxReplicas: Invalid value: 0"),
        ({"minReplicas": -1}, "spec.minReplicas: Invalid value: -1"),
        ({"minReplicas": 9}, "spec.maxReplicas: Invalid value: must be at least spec.minReplicas"),
        ({"maxReplicas": None}, "spec.maxReplicas: Required value"),
        ({"metricsSources": None}, "is needed by every strategy but SLO"),
        ({"metricsSources": []}, "spec.metricsSources: Invalid value: 0"),
        ({"metricsSources": [a_source(targetValue="0")]}, "spec.metricsSources[0].targetValue: Invalid value"),
        ({"metricsSources": [a_source(targetValue="0.0e3")]}, "must be > 0"),
        ({"metricsSources": [a_source(targetValue="NaN")]}, "spec.metricsSources[0].targetValue: Invalid value"),
        ({"metricsSources": [a_source(targetValue="-5")]}, "spec.metricsSources[0].targetValue: Invalid value"),
        ({"metricsSources": [a_source(port="http")]}, "spec.metricsSources[0].port: Invalid value"),
        ({"metricsSources": [a_source(port=None)]}, "needs protocolType, port and path"),
        ({"metricsSources": [a_source(metricSourceType="domain")]}, "needs an endpoint"),
        ({"metricsSources": [a_source(metricSourceType="external", endpoint="e", path=None)]}, "protocolType and path"),
        ({"metricsSources": [a_source(metricSourceType="resource")]}, "must be cpu or memory"),
        ({"panicWindowSeconds": 200}, "must be at most spec.observeWindowSeconds"),
        ({"schedules": [A_DAY | {"endTime": "08:00"}]}, "must be later than startTime"),
        ({"schedules": [A_DAY | {"minReplicas": None}]}, "minReplicas"),
        ({"schedules": [A_DAY | {"daysOfWeek": ["Someday"]}]}, "spec.schedules[0].daysOfWeek[0]"),
        ({"schedules": [A_DAY, A_DAY]}, "Duplicate value"),
        ({"targetReplicas": 1}, "unknown field"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_by_field(plane: ControlPlane, spec: dict[str, Any], why: str):
    assert why in said(plane, an_autoscaler(**spec))


def test_the_columns_are_those_that_people_know(plane: ControlPlane):
    plane.kubectl("create", "-f", "-", given=json.dumps(an_autoscaler("columns")))

    header, row = plane.kubectl("get", "podautoscaler", "columns").splitlines()

    assert ["NAME", "MINPODS", "MAXPODS", "REPLICAS", "STRATEGY", "AGE"] == header.split()
    assert ["columns", "1", "8", "KPA"] == row.split()[:4]
