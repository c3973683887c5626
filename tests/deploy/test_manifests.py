"""The manifests: names and ports that others rely on, what pods may do, and that they say what the gateway itself says.

The same objects are sent to a real API server in tests/kubernetes.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from controllers.routes.workloads import ADAPTERS
from forebay.cli.optimizing import optimizer
from gateway.config.loading import load
from gateway.config.settings import Settings
from gateway.discovery.pods import NODES, PODS, WORKLOADS
from gateway.discovery.pools import OBJECTIVES, POOLS, REWRITES, ours_of
from gateway.envoy import filters, listener
from gateway.envoy.access_logs import usage_logs
from gateway.envoy.headers import strip_from_clients
from gateway.envoy.names import CLIENT_MODEL, DESTINATION, UPSTREAM_ADDRESS_ATTRIBUTE
from gateway.envoy.patches import EXTENSION_POLICY, GATEWAY, LISTENERS, NAMESPACE, patch_policies
from kube.objects import Kind
from optimizer.service.workloads import WORKLOADS as OPTIMIZED
from routing.table import STRATEGIES
from tests.support.kubernetes.fields import wrong_fields
from tests.support.manifests import COMPONENTS, OVERLAYS, Json, containers, kubectl, named, objects, with_components
from tests.support.source_tree import ROOT

DEFAULT = OVERLAYS / "default"
ALL = sorted(OVERLAYS.iterdir())
OF_ADAPTERS = OVERLAYS / "adapters"
WITH_GATEWAY = [overlay for overlay in ALL if overlay != OF_ADAPTERS]
ENVIRON = {"REDIS_PASSWORD": "p", "ADMIN_TOKEN": "t"}
CONFIG = ROOT / "deploy" / "base" / "forebay.yaml"
WORKLOAD_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "Job")
FOLLOW, KEEP = ("list", "watch"), ("create", "patch", "delete")
needs_kubectl = pytest.mark.skipif(kubectl() is None, reason="needs kubectl")


def settings(**environ: str) -> Settings:
    return load(CONFIG, ENVIRON | environ, STRATEGIES)


def workloads(folder: Path) -> list[Json]:
    return [each for each in objects(folder) if each["kind"] in WORKLOAD_KINDS]


def with_component(tmp_path: Path, *names: str) -> tuple[Json, ...]:
    """The default overlay with components."""
    return objects(with_components(tmp_path, DEFAULT, *names))


def test_the_names_and_ports_are_those_of_the_contract():
    services = {
        one["metadata"]["name"]: {port["port"]: port.get("nodePort") for port in one["spec"]["ports"]}
        for one in objects(DEFAULT)
        if one["kind"] == "Service"
    }

    assert {
        "aibrix-gateway-plugins": {50052: None, 8080: None},
        "aibrix-metadata-service": {8090: 32004},
        "aibrix-redis-master": {6379: None},
        "aibrix-controller-manager-metrics-service": {8080: None},
        "aibrix-gpu-optimizer": {8080: None},
    } == services
    roles = ("gateway-plugins", "controller-manager", "redis-master", "gpu-optimizer")
    assert {f"aibrix-{role}" for role in roles} == {one["metadata"]["name"] for one in workloads(DEFAULT)}
    assert "aibrix-eg" == named(objects(DEFAULT), "Gateway", "aibrix-eg")["spec"]["gatewayClassName"]
    assert named(objects(DEFAULT), "GatewayClass", "aibrix-eg")


@pytest.mark.parametrize("overlay", ALL, ids=lambda path: path.name)
def test_services_and_policies_select_pods_and_ports_that_there_are(overlay: Path):
    pods = [one["spec"]["template"] for one in workloads(overlay)]

    def ports(selector: Json) -> set[str]:
        return {
            port["name"]
            for pod in pods
            if selector.items() <= pod["metadata"]["labels"].items()
            for container in pod["spec"]["containers"]
            for port in container["ports"]
        }

    for one in objects(overlay):
        if one["kind"] == "Service":
            assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports(one["spec"]["selector"]), one
        if one["kind"] == "PodDisruptionBudget":
            assert ports(one["spec"]["selector"]["matchLabels"]), one
        if one["kind"] == "NetworkPolicy":
            allowed = {port["port"] for rule in one["spec"]["ingress"] for port in rule["ports"]}
            assert allowed == ports(one["spec"]["podSelector"]["matchLabels"]), one


@pytest.mark.parametrize("overlay", WITH_GATEWAY, ids=lambda path: path.name)
def test_of_the_pods_in_its_namespace_only_its_users_reach_redis(overlay: Path):
    [rule] = named(objects(overlay), "NetworkPolicy", "aibrix-redis-master")["spec"]["ingress"]

    [[allowed]] = [source["podSelector"]["matchExpressions"] for source in rule["from"]]

    assert ("app.kubernetes.io/name", "In") == (allowed["key"], allowed["operator"])
    assert {"aibrix-gateway-plugins", "aibrix-gpu-optimizer", "aibrix-controller-manager"} == set(allowed["values"])


@pytest.mark.parametrize("overlay", WITH_GATEWAY, ids=lambda path: path.name)
def test_no_labels_of_a_pod_alone_open_the_port_of_envoys(overlay: Path):
    ingress = named(objects(overlay), "NetworkPolicy", "aibrix-gateway-plugins")["spec"]["ingress"]
    [envoys] = [rule["from"] for rule in ingress if {"port": "grpc"} in rule["ports"]]

    assert all(source.get("namespaceSelector") for source in envoys)


@pytest.mark.parametrize("overlay", ALL, ids=lambda path: path.name)
def test_every_container_is_confined_probed_and_bounded(overlay: Path):
    for workload in workloads(overlay):
        spec = workload["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert {"type": "RuntimeDefault"} == spec["securityContext"]["seccompProfile"]
        for container in containers(workload):
            assert {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            } == container["securityContext"]
            assert {"cpu", "memory"} == set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
        assert all({"readinessProbe", "livenessProbe"} <= one.keys() for one in spec["containers"])


def test_the_image_is_named_once_with_the_version_of_the_package():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    folders = (ROOT / "deploy/base", COMPONENTS / "runtime", OF_ADAPTERS)  # the latter two are without the base
    images = [yaml.safe_load((folder / "kustomization.yaml").read_text())["images"] for folder in folders]
    texts = [path.read_text() for path in (ROOT / "deploy").rglob("*.yaml")]

    assert [[{"name": "forebay", "newName": "forebay", "newTag": version}]] * 3 == images
    assert not [tag for text in texts for tag in re.findall(r"image: forebay(\S+)", text)]


def test_no_secret_is_in_the_repository():
    assert not [one for overlay in ALL for one in objects(overlay) if one["kind"] == "Secret"]


def test_the_configuration_is_valid_and_has_its_variables():
    pods = named(objects(DEFAULT), "Deployment", "aibrix-gateway-plugins")["spec"]["template"]["spec"]
    [container] = pods["containers"]
    references = set(re.findall(r"\$\{(\w+)[:}]", CONFIG.read_text()))

    assert ENVIRON.keys() == {each["name"] for each in container["env"]} <= references
    listen, ports = settings().listen, {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {name: f"0.0.0.0:{port}" for name, port in ports.items()} == {
        name: getattr(listen, name) for name in ("grpc", "http", "admin")
    }
    assert settings().drain_s < pods["terminationGracePeriodSeconds"]
    assert ["gateway", "--config", "/etc/forebay/forebay.yaml"] == container["args"]


@needs_kubectl
def test_the_file_in_the_container_is_the_configuration():
    found = objects(DEFAULT)
    [volume] = [
        volume["configMap"]["name"]
        for volume in named(found, "Deployment", "aibrix-gateway-plugins")["spec"]["template"]["spec"]["volumes"]
        if "configMap" in volume
    ]

    assert {"forebay.yaml": CONFIG.read_text()} == named(found, "ConfigMap", volume)["data"]


@needs_kubectl
def test_overlay_dev_opens_the_admin_rest_by_a_setting_of_its_name():
    [container] = containers(named(objects(OVERLAYS / "dev"), "Deployment", "aibrix-gateway-plugins"))
    environ = {each["name"]: each.get("value", "p") for each in container["env"]}

    opened = load(CONFIG, environ, STRATEGIES)

    assert (True, "") == (opened.admin_open, opened.admin_token)
    assert (False, "t") == (settings().admin_open, settings().admin_token)


@needs_kubectl
def test_overlay_ext_proc_needs_no_patches_and_sends_answers_through_the_gateway():
    found = objects(OVERLAYS / "ext-proc")
    [container] = containers(named(found, "Deployment", "aibrix-gateway-plugins"))
    [policy] = named(found, "EnvoyExtensionPolicy", EXTENSION_POLICY)["spec"]["extProc"]

    assert not [one for one in found if one["kind"] == "EnvoyPatchPolicy"]
    assert {"name": "RESPONSE_MODE", "value": "ext_proc"} in container["env"]
    assert {"body": "Streamed", "attributes": [UPSTREAM_ADDRESS_ATTRIBUTE]} == policy["processingMode"]["response"]


def allowed(kind: str, name: str, overlay: Path = DEFAULT) -> set[tuple[str, str, str]]:
    """Group, resource and verb of all that a role allows."""
    return {
        (group, resource, verb)
        for rule in named(objects(overlay), kind, name)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def verbs(verbs: tuple[str, ...], *kinds: Kind[Any]) -> set[tuple[str, str, str]]:
    return {(kind.group, kind.plural, verb) for kind in kinds for verb in verbs}


def test_the_gateway_may_read_what_it_follows_and_nothing_else():
    assert verbs(FOLLOW, PODS, NODES, *WORKLOADS, ADAPTERS) == allowed("ClusterRole", "aibrix-gateway-plugins")


@needs_kubectl
def test_a_picker_reads_its_pools_and_pods_in_their_namespace_and_of_the_cluster_only_nodes():
    overlay = OVERLAYS / "inference-pool"
    here = verbs(FOLLOW, PODS, *WORKLOADS, POOLS, OBJECTIVES, REWRITES)

    assert verbs(FOLLOW, NODES) == allowed("ClusterRole", "aibrix-gateway-plugins", overlay)
    assert here == allowed("Role", "aibrix-gateway-plugins", overlay)
    assert NAMESPACE == named(objects(overlay), "Role", "aibrix-gateway-plugins")["metadata"]["namespace"]


@needs_kubectl
def test_the_pool_names_the_gateway_as_its_picker_and_the_gateway_knows_it():
    found = objects(OVERLAYS / "inference-pool")
    [container] = containers(named(found, "Deployment", "aibrix-gateway-plugins"))
    picker = load(CONFIG, {each["name"]: each.get("value", "p") for each in container["env"]}, STRATEGIES)
    pool = POOLS.decode(msgspec.json.encode(named(found, "InferencePool", "forebay")))
    ports = named(found, "Service", "aibrix-gateway-plugins")["spec"]["ports"]

    assert f"{pool.metadata.namespace}/{pool.spec.endpoint_picker_ref.name}" == picker.picker.service
    assert [pool] == [*ours_of([pool], "aibrix-gateway-plugins").values()]
    assert 50052 in [port["port"] for port in ports]
    assert "ext_proc" == picker.response_mode
    assert {"Gateway", "EnvoyProxy"}.isdisjoint(one["kind"] for one in found)
    left_out = ("aibrix-controller-manager", "aibrix-gpu-optimizer")
    assert not [one for one in found if one["metadata"]["name"].startswith(left_out)]


def test_the_optimizer_may_read_workloads_and_nothing_else():
    assert verbs(FOLLOW, *OPTIMIZED) == allowed("ClusterRole", "aibrix-gpu-optimizer")


@needs_kubectl
@pytest.mark.parametrize(("overlay", "is_open"), [("default", False), ("dev", True)])
def test_the_optimizer_takes_its_arguments(overlay: str, is_open: bool):
    pods = named(objects(OVERLAYS / overlay), "Deployment", "aibrix-gpu-optimizer")["spec"]["template"]["spec"]
    [container] = pods["containers"]
    command, *arguments = container["args"]

    taken = optimizer.make_context("optimizer", arguments).params

    [port] = container["ports"]
    assert ("optimizer", f"0.0.0.0:{port['containerPort']}") == (command, taken["listen"])
    assert (True, is_open) == (taken["kubernetes"], taken["is_open"])
    assert {"REDIS_HOST", "REDIS_PASSWORD", "ADMIN_TOKEN"} == {each["name"] for each in container["env"]}
    assert "aibrix-redis-master" == container["env"][0]["value"]


@pytest.mark.parametrize(("component", "name"), [("metadata", "http"), ("tls", "https")])
def test_the_patches_are_what_envoy_config_makes(component: str, name: str):
    file = COMPONENTS / component / "envoy-patches.yaml"

    assert patch_policies(settings(), LISTENERS[name]) == list(yaml.safe_load_all(file.read_text())), "make manifests"


def test_the_listeners_that_are_patched_are_those_of_the_gateway(tmp_path: Path):
    assert (NAMESPACE, GATEWAY) == ("aibrix-system", "aibrix-eg")
    [plain] = named(objects(DEFAULT), "Gateway", GATEWAY)["spec"]["listeners"]
    assert (LISTENERS["http"].name, LISTENERS["http"].port) == (plain["name"], plain["port"])
    if kubectl():
        _, tls = named(with_component(tmp_path, "tls"), "Gateway", GATEWAY)["spec"]["listeners"]
        assert (LISTENERS["https"].name, LISTENERS["https"].port) == (tls["name"], tls["port"])


def test_what_is_never_trusted_is_removed_early_and_so_is_the_model_that_routes_match():
    ours = strip_from_clients()["typed_config"]["mutations"]
    early = named(objects(DEFAULT), "ClientTrafficPolicy", "aibrix-eg")["spec"]["headers"]["earlyRequestHeaders"]

    assert [{"name": CLIENT_MODEL, "value": "%REQ(model)%"}] == early["set"]
    assert {"model", *(each["remove"] for each in ours if "remove" in each)} == set(early["remove"])
    prefixes = [each["remove_on_match"]["key_matcher"]["prefix"] for each in ours if "remove_on_match" in each]
    assert [{"type": "Prefix", "value": prefix} for prefix in prefixes] == early["removeOnMatch"]


def test_requests_arrive_as_at_our_own_envoy():
    spec = named(objects(DEFAULT), "ClientTrafficPolicy", "aibrix-eg")["spec"]

    assert f"{listener.buffer_bytes(settings()) >> 20}Mi" == spec["connection"]["bufferLimit"]
    assert settings().envoy.max_connections == spec["connection"]["connectionLimit"]["value"]
    assert f"{settings().timeouts.idle_s / 60:g}m" == spec["timeout"]["http"]["streamIdleTimeout"]


def test_requests_are_sent_as_from_our_own_envoy():
    spec = named(objects(DEFAULT), "BackendTrafficPolicy", "aibrix-eg")["spec"]
    route = listener._virtual_host(settings())["routes"][-1]["route"]

    assert [{"header": DESTINATION}] == spec["loadBalancer"]["endpointOverride"]["extractFrom"]
    assert route["retry_policy"]["retry_on"] == ",".join(spec["retry"]["retryOn"]["triggers"])
    assert route["retry_policy"]["num_retries"] == spec["retry"]["numRetries"]
    assert f"{settings().timeouts.request_s / 3600:g}h" == spec["timeout"]["http"]["requestTimeout"]
    assert f"{settings().timeouts.connect_s:g}s" == spec["timeout"]["tcp"]["connectTimeout"]
    assert {1_000_000} == set(spec["circuitBreaker"].values())


def test_the_gateway_is_asked_as_by_our_own_envoy():
    [ours] = [one for one in filters.http_filters(settings()) if one["name"] == "envoy.filters.http.ext_proc"]
    config = ours["typed_config"]
    [asked] = named(objects(DEFAULT), "EnvoyExtensionPolicy", EXTENSION_POLICY)["spec"]["extProc"]

    assert config["message_timeout"] == f"{float(asked['messageTimeout'].rstrip('s')):.3f}s"
    assert config["failure_mode_allow"] == asked["failOpen"]
    assert config["metadata_options"]["receiving_namespaces"]["untyped"] == asked["metadata"]["writableNamespaces"]
    triggers = ",".join(asked["backendSettings"]["retry"]["retryOn"]["triggers"])
    assert config["grpc_service"]["retry_policy"]["retry_on"] == triggers


def test_the_access_logs_have_what_the_gateway_reads():
    usage, failures = named(objects(DEFAULT), "EnvoyProxy", "aibrix-eg")["spec"]["telemetry"]["accessLog"]["settings"]
    [ours] = usage_logs(settings())
    backend = [{"name": "aibrix-gateway-plugins", "port": 50052}]

    assert (
        ours["typed_config"]["additional_response_headers_to_log"]
        == (usage["sinks"][0]["als"]["http"]["responseHeaders"])
    )
    assert ours["filter"]["metadata_filter"]["matcher"]["filter"] in usage["matches"][0]
    assert ["Route", "Upstream"] == [usage["type"], failures["type"]]
    assert [backend, backend] == [one["sinks"][0]["als"]["backendRefs"] for one in (usage, failures)]


@needs_kubectl
def test_monitors_come_with_the_way_to_the_metrics(tmp_path: Path):
    found = with_component(tmp_path, "service-monitor")
    services = [one for one in found if one["kind"] == "Service"]

    for monitor in (
        one for one in found if one["kind"] == "ServiceMonitor" and one["metadata"]["name"] != "aibrix-engines"
    ):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        assert 1 == len([one for one in services if wanted <= one["metadata"]["labels"].items()])
    assert named(found, "NetworkPolicy", "aibrix-metrics")


@needs_kubectl
def test_mutual_tls_has_both_sides(tmp_path: Path):
    found = with_component(tmp_path, "mutual-tls")
    pods = named(found, "Deployment", "aibrix-gateway-plugins")["spec"]["template"]["spec"]
    [container] = pods["containers"]
    [secret] = [volume["secret"]["secretName"] for volume in pods["volumes"] if volume["name"] == "tls"]
    [mounted] = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "tls"]
    tls = settings(**{each["name"]: each["value"] for each in container["env"] if "value" in each}).listen.tls

    assert (f"{mounted}/tls.crt", f"{mounted}/tls.key", f"{mounted}/ca.crt") == (tls.cert, tls.key, tls.client_ca)
    assert {"grpc"} == tls.on
    assert set() == settings().listen.tls.on
    policy = named(found, "BackendTLSPolicy", "aibrix-gateway-plugins")["spec"]
    service = named(found, "Service", policy["targetRefs"][0]["name"])
    assert [50052] == [
        port["port"] for port in service["spec"]["ports"] if port["name"] == policy["targetRefs"][0]["sectionName"]
    ]
    assert [secret] == [reference["name"] for reference in policy["validation"]["caCertificateRefs"]]
    proxy = named(found, "EnvoyProxy", "aibrix-eg")["spec"]
    assert {"name": "aibrix-eg-client-tls"} == proxy["backendTLS"]["clientCertificateRef"]


def test_kuberay_is_pinned():
    [source] = yaml.safe_load((COMPONENTS / "kuberay" / "kustomization.yaml").read_text())["resources"]

    assert re.search(r"\?ref=v\d+\.\d+\.\d+$", source)


@pytest.mark.parametrize("overlay", ALL, ids=lambda path: path.name)
def test_the_fields_of_kubernetes_own_objects_exist(overlay: Path):
    checked = [said for one in objects(overlay) if (said := wrong_fields(one)) is not None]

    assert {()} == set(map(tuple, checked))
    assert len(checked) > 10


def test_a_field_that_does_not_exist_would_be_found():
    spec = {"containers": [{"name": "c", "imagePolicy": "Always"}], "nodeSelector": {"a": "b"}}

    assert ["Pod.spec.containers[0].imagePolicy"] == wrong_fields({"apiVersion": "v1", "kind": "Pod", "spec": spec})
