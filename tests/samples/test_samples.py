"""The samples: each is a model for discovery, has the names that its users print, and can be applied in both ways.

The same objects are sent to a real API server in tests/kubernetes.
"""

import tomllib
from pathlib import Path

import msgspec
import pytest
import yaml

from forebay.cli.running import engine
from forebay.cli.sidecar import runtime
from gateway.discovery.pods import Cluster, Fleet, Pod
from routing.table import STRATEGIES
from runtime.settings import read_settings
from simulator.core.gpus import GPUS
from tests.support import pod_autoscalers
from tests.support.kubernetes.fields import wrong_fields
from tests.support.manifests import Json, containers, named
from tests.support.source_tree import ROOT

SAMPLES = sorted(path for path in (ROOT / "samples").iterdir() if path.is_dir())
every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)


def applied(sample: Path) -> tuple[Json, ...]:
    """The objects that `kubectl apply -f` sends: of all files in the folder that end as YAML."""
    return tuple(one for path in sorted(sample.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text()))


def deployments(sample: Path) -> list[Json]:
    return [one for one in applied(sample) if one["kind"] == "Deployment"]


@every_sample
def test_both_ways_of_applying_a_sample_send_the_same_objects(sample: Path):
    kustomization = yaml.safe_load((sample / "Kustomization").read_text())

    assert {path.name for path in sample.glob("*.yaml")} == set(kustomization["resources"])
    assert {"apiVersion", "kind", "resources"} == kustomization.keys()


@every_sample
def test_the_fields_of_samples_exist(sample: Path):
    assert [] == [field for one in applied(sample) for field in wrong_fields(one) or []]


@every_sample
def test_a_model_has_a_service_of_its_name_that_selects_its_pods(sample: Path):
    for one in deployments(sample):
        model, pod = one["metadata"]["labels"]["model.aibrix.ai/name"], one["spec"]["template"]["metadata"]["labels"]
        service = named(applied(sample), "Service", model)

        assert service["spec"]["selector"].items() <= pod.items()
        assert one["spec"]["selector"]["matchLabels"].items() <= pod.items()
        assert int(one["metadata"]["labels"]["model.aibrix.ai/port"]) in {
            port["port"] for port in service["spec"]["ports"]
        }


@every_sample
def test_the_pods_of_a_sample_serve_its_model(sample: Path):
    status = {"phase": "Running", "podIP": "10.244.0.9", "conditions": [{"type": "Ready", "status": "True"}]}
    for one in deployments(sample):
        template = one["spec"]["template"]
        metadata = {"name": "p", "namespace": "default", "uid": "u", **template["metadata"]}
        pod = msgspec.convert({"metadata": metadata, "spec": template["spec"], "status": status}, Pod)

        fleet = Fleet(STRATEGIES).describe(Cluster({"default/p": pod}, {}, {}))

        [endpoint] = fleet.endpoints
        labels = metadata["labels"]
        assert ("10.244.0.9:8000", {labels["model.aibrix.ai/name"]}) == (endpoint.address, set(endpoint.models))
        assert labels.get("forebay.io/gpu", {"article": "nvidia-rtx-3090-24GB"}.get(sample.name, "")) == (
            endpoint.gpu_type
        )


@every_sample
def test_simulated_engines_take_their_arguments_in_the_image_of_this_version(sample: Path):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    ours = [each for one in deployments(sample) for each in containers(one) if "forebay" in each["image"]]
    for container in (each for each in ours if "args" in each):
        command, *arguments = container["args"]
        taken = engine.make_context("engine", arguments).params

        assert ("engine", f"forebay:{version}", "0.0.0.0") == (command, container["image"], taken["host"])
        assert taken["port"] in {port["containerPort"] for port in container["ports"]}


@pytest.mark.parametrize("sample", [ROOT / "samples" / "article", ROOT / "samples" / "heterogeneous"])
def test_the_runtime_stands_beside_engines_as_it_is_printed(sample: Path):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for one in deployments(sample):
        main, beside = containers(one)
        service = named(applied(sample), "Service", one["metadata"]["labels"]["model.aibrix.ai/name"])["metadata"]
        [port] = beside["ports"]
        program, *arguments = beside["command"]
        listens = runtime.make_context(program, arguments).params

        assert ("aibrix-runtime", f"forebay:{version}") == (beside["name"], beside["image"])
        assert ("aibrix_runtime", "0.0.0.0", 8080) == (program, listens["host"], listens["port"])
        environment = {each["name"]: each["value"] for each in beside["env"]}
        assert main["ports"][0]["containerPort"] == read_settings(environment).port
        assert "vllm" == environment["INFERENCE_ENGINE"]
        probes = {
            kind: (*each["httpGet"].values(), each["initialDelaySeconds"], each["periodSeconds"])
            for kind, each in beside.items()
            if kind.endswith("Probe")
        }
        assert {"livenessProbe": ("/healthz", 8080, 3, 2), "readinessProbe": ("/ready", 8080, 5, 10)} == probes
        assert {"prometheus.io/scrape": "true", "prometheus.io/port": str(port["containerPort"])} == service[
            "annotations"
        ]
        assert "true" == service["labels"]["prometheus-discovery"]


def test_the_heterogeneous_sample_has_the_names_that_its_text_prints():
    sample = ROOT / "samples" / "heterogeneous"
    [port] = named(applied(sample), "Service", "deepseek-coder-7b")["spec"]["ports"]
    labels = {one["metadata"]["name"]: one["metadata"]["labels"] for one in deployments(sample)}

    assert (8000, 8000, 30081) == (port["port"], port["targetPort"], port["nodePort"])
    assert {"deepseek-coder-7b-v100", "deepseek-coder-7b-l20"} == labels.keys()
    assert ["1", None] == [labels[name].get("model.aibrix.ai/min_replicas") for name in sorted(labels, reverse=True)]
    gpus = [one["spec"]["template"]["metadata"]["labels"]["forebay.io/gpu"] for one in deployments(sample)]
    assert ["L20", "V100"] == gpus
    assert set(gpus) <= GPUS.keys()


def test_the_engines_of_the_heterogeneous_sample_have_one_account_with_roles_of_its_own():
    found = applied(ROOT / "samples" / "heterogeneous")
    [account] = [one["metadata"]["name"] for one in found if one["kind"] == "ServiceAccount"]
    roles = {one["metadata"]["name"] for one in found if one["kind"] == "Role"}
    bindings = [one for one in found if one["kind"] == "RoleBinding"]

    assert roles == {one["roleRef"]["name"] for one in bindings} != set()
    assert {account} == {subject["name"] for one in bindings for subject in one["subjects"]}
    pods = [one["spec"]["template"]["spec"] for one in found if one["kind"] == "Deployment"]
    assert [account, account] == [pod["serviceAccountName"] for pod in pods]


def test_the_autoscalers_of_the_heterogeneous_sample_are_as_its_text_prints_them():
    sample = ROOT / "samples" / "heterogeneous"
    found = {one["metadata"]["name"]: one for one in applied(sample) if one["kind"] == "PodAutoscaler"}

    assert {"podautoscaler-deepseek-coder-7b-v100", "podautoscaler-deepseek-coder-7b-l20"} == found.keys()
    assert pod_autoscalers.s1() == found["podautoscaler-deepseek-coder-7b-v100"]
    for name, one in found.items():
        deployment = one["spec"]["scaleTargetRef"]["name"]
        assert name == f"podautoscaler-{deployment}"
        assert f"/metrics/default/{deployment}" == one["spec"]["metricsSources"][0]["path"]


@pytest.mark.parametrize("strategy", ["HPA", "KPA", "APA"])
def test_the_autoscalers_of_the_article_are_as_it_prints_them(strategy: str):
    file = ROOT / "samples" / "article" / "podautoscalers" / f"{strategy.lower()}.yaml"

    assert pod_autoscalers.s2(strategy) == yaml.safe_load(file.read_text())


def test_the_route_of_the_article_is_the_users_own():
    route = named(applied(ROOT / "samples" / "article"), "HTTPRoute", "qwen-coder-7b-instruct-router")

    assert "labels" not in route["metadata"]
    assert "aibrix-system" == route["metadata"]["namespace"]
