"""PodAutoscalers and pods as they are read."""

import json

import msgspec
import pytest

from controllers.podautoscaler.objects import AUTOSCALERS, PODS, Status
from tests.support.kubernetes.autoscalers import an_autoscaler


def test_an_autoscaler_is_handed_on_as_it_is_written():
    written = an_autoscaler("a")
    written["metadata"] |= {"annotations": {"x": "1"}, "uid": "u", "managedFields": []}

    document = AUTOSCALERS.decode(json.dumps(written).encode()).document()

    assert written["spec"] == document["spec"]
    assert {"name": "a", "namespace": "default", "labels": {}, "annotations": {"x": "1"}} == document["metadata"]


def test_a_status_is_written_with_all_its_fields_so_that_a_patch_removes_those_that_are_gone():
    assert {"lastScaleTime", "desiredScale", "actualScale", "conditions", "scalingHistory", "scheduledBounds"} == (
        msgspec.to_builtins(Status()).keys()
    )


@pytest.mark.parametrize(
    ("status", "is_ready", "has_ended"),
    [
        ({}, False, False),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, True, False),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}, False, False),
        ({"phase": "Failed", "podIP": "10.0.0.1"}, False, True),
    ],
)
def test_a_pod_is_ready_when_kubernetes_says_so(status: dict[str, object], is_ready: bool, has_ended: bool):
    pod = PODS.decode(json.dumps({"metadata": {"name": "p"}, "status": status}).encode())

    assert (is_ready, has_ended) == (pod.is_ready, pod.has_ended)
    assert status.get("podIP", "") == pod.status.pod_ip
