"""The metrics APIs of a cluster are read as an HPA reads them; what they do not have is absent and said."""

import json

import pytest

from autoscaling.observation import PodReading
from autoscaling.spec import Source, SourceKind
from tests.support.kubernetes.conversation import Exchange, Request, answer
from tests.support.observing import Clock, a_pod, a_spec, observing

EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default"
CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods"
USAGE = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods"


def told(path: str, *items: dict[str, object]) -> Exchange:
    body = {"kind": "List", "metadata": {}, "items": items}
    return Request("GET", f"{path}?limit=500"), answer(json.dumps(body))


async def test_the_metrics_apis_of_the_cluster_are_read():
    pods = [a_pod("a"), a_pod("b")]
    exchanges = [
        told(f"{EXTERNAL}/queue%3Alength", {"metricName": "q", "value": "1500m"}, {"metricName": "q", "value": "2"}),
        told(
            f"{CUSTOM}/*/gpu_util",
            {"describedObject": {"kind": "Pod", "name": "a"}, "value": "250m"},
            {"describedObject": {"kind": "Pod", "name": "of-others"}, "value": "7"},
        ),
        told(
            USAGE,
            {"metadata": {"name": "a"}, "containers": [{"usage": {"cpu": "1500000n"}}, {"usage": {"cpu": "1"}}]},
            {"metadata": {"name": "b"}, "containers": [{"usage": {}}]},
        ),
    ]
    sources = (
        Source(SourceKind.EXTERNAL, "queue:length", 1.0),
        Source(SourceKind.CUSTOM, "gpu_util", 1.0),
        Source(SourceKind.RESOURCE, "cpu", 1.0),
    )
    async with observing(Clock(), exchanges) as observer:
        seen, failures = await observer.observe(a_spec(*sources), "m", pods, 0, 0)

    assert {"queue:length": 3.5} == seen.external
    assert (PodReading("a", metrics={"gpu_util": 0.25, "cpu": 1001.5}),) == seen.pods
    assert {
        "1 of 2 ready pods were not read: b: custom metric gpu_util is not there",
        "1 of 2 ready pods were not read: b: resource metric cpu is not there",
    } == set(failures)


@pytest.mark.parametrize(
    ("exchange", "said"),
    [
        (
            (Request("GET", f"{EXTERNAL}/m?limit=500"), answer("no", status=404)),
            "external.metrics.k8s.io, metric m: no",
        ),
        (told(f"{EXTERNAL}/m"), "external.metrics.k8s.io has no value of m in namespace default"),
        (told(f"{EXTERNAL}/m", {"value": "many"}), "a metrics API answered many: must be a quantity"),
    ],
)
async def test_a_metrics_api_without_a_value_is_absent_and_said(exchange: Exchange, said: str):
    async with observing(Clock(), [exchange]) as sources:
        seen, [failure] = await sources.observe(a_spec(Source(SourceKind.EXTERNAL, "m", 1.0)), "m", [], 0, 0)

    assert {} == seen.external
    assert failure.startswith(said)
