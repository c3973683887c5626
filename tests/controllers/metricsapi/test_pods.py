"""Metrics of pods are read where the autoscaler of their target says, else where engines have them."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from autoscaling.spec_reading import read
from controllers.metricsapi.answers import MissingError
from controllers.metricsapi.pods import PodMetrics, source_of
from controllers.podautoscaler.objects import Pod
from controllers.podautoscaler.sources.apis import MetricsApis
from controllers.podautoscaler.sources.pages import Pages
from controllers.podautoscaler.sources.pods import Pods
from kube.objects import Metadata, Owner
from tests.support.kubernetes.conversation import Exchange, Request, answer
from tests.support.kubernetes.script import talking
from tests.support.metrics_pages import MetricsPages, metrics_pages

AUTOSCALERS = Request("GET", "/apis/autoscaling.aibrix.ai/v1alpha1/namespaces/n/podautoscalers?limit=500")
PODS = Request("GET", "/api/v1/namespaces/n/pods?labelSelector=app%3Dd&limit=500")
NOT_INSTALLED = (AUTOSCALERS, answer('{"code": 404, "reason": "NotFound"}', status=404))


@asynccontextmanager
async def pod_metrics(exchanges: Iterable[Exchange]) -> AsyncIterator[PodMetrics]:
    async with talking(exchanges) as (client, _), Pages() as pages:
        yield PodMetrics(client, Pods(pages, MetricsApis(client), lambda: 1000.0))


def a_pod(name: str, server: MetricsPages, *, is_ready: bool = True, **metadata: Any) -> dict[str, Any]:
    labels = {"model.aibrix.ai/port": str(server.port), "pod-template-hash": "h"}
    owner = {"kind": "ReplicaSet", "name": "d-h", "controller": True}
    conditions = [{"type": "Ready", "status": str(is_ready)}]
    return {
        "metadata": {"name": name, "namespace": "n", "labels": labels, "ownerReferences": [owner], **metadata},
        "status": {"podIP": "127.0.0.1", "conditions": conditions},
    }


def an_autoscaler(path: str, port: int, **more: Any) -> dict[str, Any]:
    source = {
        "metricSourceType": "pod", "protocolType": "http", "port": str(port), "path": path, "targetMetric": "m",
        "targetValue": "5",
    }  # fmt: skip
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    spec = {"scaleTargetRef": target, "maxReplicas": 3, "scalingStrategy": "HPA", "metricsSources": [source], **more}
    return {"metadata": {"name": "a", "namespace": "n"}, "spec": spec}


def listed(request: Request, *items: dict[str, Any]) -> Exchange:
    return request, answer(json.dumps({"metadata": {}, "items": items}))


@pytest.fixture
async def server() -> AsyncIterator[MetricsPages]:
    async with metrics_pages() as running:
        yield running


async def test_ready_pods_are_read_on_the_pages_of_their_engines(server: MetricsPages):
    server.show("vllm:kv_cache_usage_perc 0.4\n")
    pods = listed(
        PODS,
        a_pod("a", server),
        a_pod("b", server, is_ready=False),
        a_pod("c", server, deletionTimestamp="2027-01-01T00:00:00Z"),
    )
    async with pod_metrics([pods, NOT_INSTALLED]) as metrics:
        assert {"a": 0.4} == await metrics.read("gpu_cache_usage_perc", "n", "*", "app=d")


async def test_the_autoscaler_of_their_target_says_where_the_page_is(server: MetricsPages):
    server.show("m 1\n")
    server.show("m 7\n", "/elsewhere")
    autoscalers = listed(AUTOSCALERS, an_autoscaler("elsewhere", server.port), an_autoscaler("/x", 1, maxReplicas=-1))
    async with pod_metrics([listed(PODS, a_pod("a", server)), autoscalers]) as metrics:
        assert {"a": 7} == await metrics.read("m", "n", "*", "app=d")


async def test_one_pod_is_asked_for_by_its_name(server: MetricsPages):
    server.show("m 1\n")
    pods = Request("GET", "/api/v1/namespaces/n/pods?limit=500")
    exchanges = [listed(pods, a_pod("a", server), a_pod("b", server)), NOT_INSTALLED]
    async with pod_metrics(exchanges) as metrics:
        assert {"b": 1} == await metrics.read("m", "n", "b", "")


async def test_no_value_at_all_is_missing_and_says_why(server: MetricsPages):
    server.show("other 1\n")
    for pods, said in (([a_pod("a", server)], "a: http://.* has no metric m"), ([], "no such pod is ready")):
        async with pod_metrics([listed(PODS, *pods), NOT_INSTALLED]) as metrics:
            with pytest.raises(MissingError, match=f"m of pods in namespace n: .*{said}"):
                await metrics.read("m", "n", "*", "app=d")


async def test_an_api_server_that_refuses_makes_it_missing():
    async with pod_metrics([(PODS, answer("forbidden", status=403)), NOT_INSTALLED]) as metrics:
        with pytest.raises(MissingError, match="m: forbidden"):
            await metrics.read("m", "n", "*", "app=d")


async def test_an_engine_that_began_anew_is_left_out(server: MetricsPages):
    exchanges = [exchange for _ in range(2) for exchange in (listed(PODS, a_pod("a", server)), NOT_INSTALLED)]
    async with pod_metrics(exchanges) as metrics:
        server.show("m 9\nprocess_start_time_seconds 100\n")
        assert {"a": 9} == await metrics.read("m", "n", "*", "app=d")
        server.show("m 0\nprocess_start_time_seconds 999\n")
        with pytest.raises(MissingError, match="began anew"):
            await metrics.read("m", "n", "*", "app=d")


def test_an_autoscaler_of_another_target_or_metric_says_nothing():
    owner = Owner("StatefulSet", "d", controller=True)
    pod = Pod(Metadata(name="p", owner_references=(owner,)))
    specs = [read(an_autoscaler("/x", 1))]

    assert "/metrics" == source_of(pod, "m", specs).path
    deployment = Pod(Metadata(name="p", owner_references=(Owner("Deployment", "d", controller=True),)))
    assert "/x" == source_of(deployment, "m", specs).path
    assert "/metrics" == source_of(deployment, "other", specs).path
