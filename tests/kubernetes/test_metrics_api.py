"""Kubernetes' own HorizontalPodAutoscaler scales on our metrics APIs, which answer nobody but the API server."""

import json
import ssl
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.kubernetes.conftest import PATIENCE_S
from tests.kubernetes.conftest import eventually as soon
from tests.support.certificates import Authority, an_authority
from tests.support.kubernetes.control_plane import AUTHORITY, ControlPlane
from tests.support.kubernetes.controllers import controllers
from tests.support.kubernetes.installed import Forebay
from tests.support.kubernetes.metrics_pod import PORT
from tests.support.kubernetes.node.network import GATEWAY
from tests.support.manifests import COMPONENTS
from tests.support.optimizer import keep_writing
from tests.support.ports import free_port
from tests.support.redis import RedisServer, redis_server
from tests.support.source_tree import ROOT
from tests.support.waiting import until
from traffic.window import Window

EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default"
CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods"
API_SERVICES = COMPONENTS / "metrics-api" / "api-services.yaml"
METRICS_POD = [sys.executable, "-m", "tests.support.kubernetes.metrics_pod"]
eventually = partial(until, limit_s=PATIENCE_S, every_s=0.2)


class Installed:
    """Deployments of a server that scale."""

    def __init__(self, kubectl: Callable[..., str]) -> None:
        self.kubectl = kubectl

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(objects))

    def replicas(self, name: str) -> int:
        return int(self.kubectl("get", "deployment", name, "-o", "jsonpath={.spec.replicas}"))

    def addresses(self, name: str) -> list[str]:
        """The pods of a Deployment that are ready."""
        pods = json.loads(self.kubectl("get", "pods", "-l", f"app={name}", "-o", "json"))["items"]
        return [pod["status"]["podIP"] for pod in pods if is_ready(pod)]

    def show(self, name: str, page: str) -> None:
        """Have all pods of a Deployment show a page."""
        for address in self.addresses(name):
            httpx.post(f"http://{address}:{PORT}/", content=page, trust_env=False, timeout=30)

    def is_scaled(self, name: str, replicas: int) -> bool:
        return self.replicas(name) == replicas == len(self.addresses(name))


class Api(Installed):
    """The metrics APIs of one control plane."""

    def __init__(self, plane: ControlPlane, redis: RedisServer, port: int) -> None:
        super().__init__(plane.kubectl)
        self.plane, self.redis, self.port = plane, redis, port

    def raw(self, path: str) -> Any:
        return json.loads(self.kubectl("get", "--raw", path))

    def refusal(self, path: str) -> str:
        """The words of kubectl where there is no value."""
        with pytest.raises(AssertionError) as failed:
            self.raw(path)
        return str(failed.value)


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", ())
    return "deletionTimestamp" not in pod["metadata"] and {"Ready": "True"} in [
        {one["type"]: one["status"]} for one in conditions
    ]


def a_service(port: int) -> list[dict[str, Any]]:
    """The Service of the manifests, in front of a process that is no pod."""
    name, namespace = "aibrix-metrics-api", "aibrix-system"
    spec = {"ports": [{"name": "metrics-api", "port": 443, "targetPort": port}]}
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
        "endpoints": [{"addresses": [GATEWAY], "conditions": {"ready": True}}],
        "ports": [{"name": "metrics-api", "port": port}],
    }  # fmt: skip
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
    return [home, service, endpoints]


def a_deployment(name: str, page: str) -> dict[str, Any]:
    """Pods that show a page of metrics."""
    address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    container = {
        "name": "engine", "image": "none", "command": METRICS_POD, "args": ["$(POD_IP)"], "workingDir": str(ROOT),
        "env": [address, {"name": "PAGE", "value": page}],
        "readinessProbe": {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1},
    }  # fmt: skip
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def an_hpa(name: str, metric: dict[str, Any]) -> dict[str, Any]:
    """A plain HorizontalPodAutoscaler that does not wait before it follows its metric."""
    rules = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 10, "periodSeconds": 1}]}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": 1, "maxReplicas": 5, "metrics": [metric], "behavior": {"scaleUp": rules, "scaleDown": rules},
    }  # fmt: skip
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


@pytest.fixture(scope="module")
def api(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    plane.start_controllers()
    plane.start_node()
    port = free_port()
    with redis_server() as redis:
        made = Api(plane, redis, port)
        made.apply(*a_service(port))
        plane.kubectl("apply", "-f", API_SERVICES)
        options = ("--controllers=routes", f"--metrics-api={GATEWAY}:{port}", f"--redis={redis.url}")
        with controllers(plane.kubeconfig, tmp_path_factory.mktemp("api") / "log", *options):
            for name in ("v1beta1.external", "v1beta1.custom", "v1beta2.custom"):
                plane.kubectl(
                    "wait", f"apiservice/{name}.metrics.k8s.io", "--for=condition=Available", "--timeout=120s"
                )
            yield made


def test_the_apis_say_what_there_is(api: Api):
    listed = api.raw("/apis/external.metrics.k8s.io/v1beta1")
    assert {"forebay_arrival_rate", "forebay_requests_waiting"} < {one["name"] for one in listed["resources"]}
    assert "pods/gpu_cache_usage_perc" in str(api.raw("/apis/custom.metrics.k8s.io/v1beta1"))
    for name in ("v1beta1.external", "v1beta1.custom", "v1beta2.custom"):
        spec = json.loads(api.kubectl("get", "apiservice", f"{name}.metrics.k8s.io", "-o", "json"))["spec"]
        assert spec["caBundle"]
        assert not spec.get("insecureSkipTLSVerify")


def test_nobody_but_the_api_server_is_answered(api: Api, tmp_path: Path):
    url, mine = f"https://{GATEWAY}:{api.port}/apis", an_authority(tmp_path)
    theirs = Authority(*(api.plane.folder / f"{AUTHORITY}.{kind}" for kind in ("crt", "key")))
    for authority, name, is_known in (
        (None, "", False),
        (mine, "front-proxy", False),
        (theirs, "somebody", False),
        (theirs, "front-proxy-2", False),
        (theirs, "front-proxy", True),
    ):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if authority:
            context.load_cert_chain(*authority.sign(name))
        with httpx.Client(verify=context, trust_env=False) as client:
            if is_known:
                assert 200 == client.get(url).status_code
            else:
                with pytest.raises(httpx.HTTPError):
                    client.get(url)


async def test_a_plain_hpa_scales_on_the_arrivals_of_a_model(api: Api):
    api.apply(a_deployment("m", ""))
    selected = {"name": "forebay_arrival_rate", "selector": {"matchLabels": {"model": "org_m"}}}
    target = {"type": "AverageValue", "averageValue": "2"}
    assert "no value" in api.refusal(f"{EXTERNAL}/forebay_arrival_rate")
    api.apply(an_hpa("m", {"type": "External", "external": {"metric": selected, "target": target}}))
    eventually(lambda: "FailedGetExternalMetric" in api.kubectl("get", "hpa", "m", "-o", "yaml"))
    assert 1 == api.replicas("m")

    async with (
        keep_writing(api.redis.url, "org/m", Window(10.0, 50)),
        keep_writing(api.redis.url, "other", Window(10.0, 500)),
    ):
        await soon(lambda: api.is_scaled("m", 3))
        [value] = api.raw(f"{EXTERNAL}/forebay_arrival_rate?labelSelector=model%3Dorg_m")["items"]
        assert ("5", {"model": "org_m"}) == (value["value"], value["metricLabels"])


def test_a_plain_hpa_scales_on_a_metric_of_pods(api: Api):
    page = "vllm:kv_cache_usage_perc %s\n"
    api.apply(a_deployment("kv", page % 0.4))
    target = {"type": "AverageValue", "averageValue": "500m"}
    api.apply(an_hpa("kv", {"type": "Pods", "pods": {"metric": {"name": "gpu_cache_usage_perc"}, "target": target}}))
    eventually(lambda: "ValidMetricFound" in api.kubectl("get", "hpa", "kv", "-o", "yaml"))
    [value] = api.raw(f"{CUSTOM}/*/gpu_cache_usage_perc?labelSelector=app%3Dkv")["items"]
    assert ("400m", "Pod") == (value["value"], value["describedObject"]["kind"])

    api.show("kv", page % 0.95)
    eventually(lambda: api.is_scaled("kv", 2))
    api.show("kv", page % "NaN")
    eventually(lambda: "FailedGetPodsMetric" in api.kubectl("get", "hpa", "kv", "-o", "yaml"))
    assert "has no metric gpu_cache_usage_perc" in api.refusal(
        f"{CUSTOM}/*/gpu_cache_usage_perc?labelSelector=app%3Dkv"
    )
    assert 2 == api.replicas("kv")
    api.show("kv", page % 0.1)
    eventually(lambda: api.is_scaled("kv", 1))


@pytest.mark.parametrize(
    "path", [f"{EXTERNAL}/forebay_nothing", f"{EXTERNAL}/forebay_requests_waiting", f"{CUSTOM}/x/m"]
)
def test_what_is_not_there_is_no_zero(api: Api, path: str):
    assert "NotFound" in api.refusal(path)


def test_a_selector_that_is_none_is_refused(api: Api):
    assert "BadRequest" in api.refusal(f"{EXTERNAL}/forebay_arrival_rate?labelSelector=a%20b")


@pytest.mark.parametrize(
    ("strategy", "read", "says"),
    [("hpa", "hpa/{}-hpa-hpa", "ValidMetricFound"), ("apa", "podautoscaler/{}-apa", "MetricsAreThere")],
)
def test_the_articles_object_scales_by_the_kv_cache_as_printed(forebay: Forebay, strategy: str, read: str, says: str):
    """Installed by the manifests, with the permissions that these give."""
    name, page = "deepseek-r1-distill-llama-8b", "vllm:gpu_cache_usage_perc %s\n"
    for version in ("v1beta1.external", "v1beta1.custom", "v1beta2.custom"):
        forebay.kubectl("wait", f"apiservice/{version}.metrics.k8s.io", "--for=condition=Available", "--timeout=120s")
    pods = Installed(forebay.kubectl)
    pods.apply(a_deployment(name, page % 0.3))
    forebay.kubectl("apply", "-f", ROOT / f"samples/article/podautoscalers/{strategy}.yaml")
    try:
        eventually(lambda: says in forebay.kubectl("get", read.format(name), "-o", "yaml"))
        eventually(lambda: pods.is_scaled(name, 1))  # pods of the test before may be there still

        pods.show(name, page % 0.95)

        eventually(lambda: pods.is_scaled(name, 2))
    finally:
        forebay.kubectl("delete", f"podautoscaler/{name}-{strategy}", f"deployment/{name}")
