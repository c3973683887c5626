"""The paths of the metrics APIs, without TLS; behind a real API server: tests/kubernetes/test_metrics_api.py."""

from collections.abc import Mapping, Sequence

import httpx
import pytest

from controllers.metricsapi.answers import MissingError, Value
from controllers.metricsapi.api import MetricsApi
from routing.selectors import Selector

EXTERNAL, CUSTOM = "/apis/external.metrics.k8s.io", "/apis/custom.metrics.k8s.io"


class Models:
    """External metrics that the test says."""

    async def read(self, metric: str, namespace: str, selector: Selector) -> Sequence[Value]:
        values = [Value({"model": model, "namespace": namespace}, 1.5) for model in ("a", "b") if metric == "m:x"]
        if found := [one for one in values if selector.matches(one.labels)]:
            return found
        raise MissingError("not there")


class Pods:
    """Metrics of pods that the test says."""

    async def read(self, metric: str, namespace: str, name: str, labels: str) -> Mapping[str, float]:
        return {f"{namespace} {name} {metric} {labels}": 2.0}


@pytest.fixture
def http() -> httpx.AsyncClient:
    app = MetricsApi(Models(), Pods(), lambda: 0.0).app()  # type: ignore[arg-type]  # doubles
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/apis", "APIGroupList"),
        (EXTERNAL, "APIGroup"),
        (CUSTOM, "APIGroup"),
        (f"{EXTERNAL}/v1beta1", "APIResourceList"),
        (f"{CUSTOM}/v1beta1", "APIResourceList"),
        (f"{CUSTOM}/v1beta2", "APIResourceList"),
    ],
)
async def test_discovery_is_answered(http: httpx.AsyncClient, path: str, kind: str):
    assert kind == (await http.get(path)).json()["kind"]


async def test_the_selector_of_an_external_metric_is_honoured(http: httpx.AsyncClient):
    path = f"{EXTERNAL}/v1beta1/namespaces/n/m%3Ax"

    both, one = [(await http.get(path + query)).json() for query in ("", "?labelSelector=model%20in%20(b)")]

    assert ["a", "b"] == [item["metricLabels"]["model"] for item in both["items"]]
    assert [("b", "n", "1500m")] == [(*item["metricLabels"].values(), item["value"]) for item in one["items"]]


@pytest.mark.parametrize("version", ["v1beta1", "v1beta2"])
async def test_pods_are_asked_for_by_name_and_labels(http: httpx.AsyncClient, version: str):
    answer = (await http.get(f"{CUSTOM}/{version}/namespaces/n/pods/*/m?labelSelector=app%3Dd")).json()

    assert ["n * m app=d"] == [item["describedObject"]["name"] for item in answer["items"]]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{EXTERNAL}/v1beta1/namespaces/n/other", 404),
        (f"{EXTERNAL}/v1beta1/namespaces/n/m%3Ax?labelSelector=model%3Dc", 404),
        (f"{EXTERNAL}/v1beta1/namespaces/n/m%3Ax?labelSelector=%3D", 400),
        (f"{EXTERNAL}/v2/namespaces/n/m", 404),
        (f"{CUSTOM}/v1/namespaces/n/pods/*/m", 404),
        (f"{CUSTOM}/v1beta2/namespaces/n/services/*/m", 404),
        (f"{CUSTOM}/v1beta2/namespaces/n/pods/*/m?labelSelector=a%20b", 400),
        (f"{CUSTOM}/v1beta2/namespaces/n/pods/*/m?metricLabelSelector=a%3Db", 400),
        ("/", 404),
    ],
)
async def test_what_is_no_value_is_a_status(http: httpx.AsyncClient, path: str, status: int):
    answer = await http.get(path)

    assert (status, "Status", status) == (answer.status_code, answer.json()["kind"], answer.json()["code"])


async def test_nothing_is_changed_by_it(http: httpx.AsyncClient):
    assert 405 == (await http.post(f"{EXTERNAL}/v1beta1/namespaces/n/m%3Ax")).status_code
