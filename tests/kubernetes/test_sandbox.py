"""Pods on the node of tests find around them what a real cluster has: files, names, addresses, their account."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.kubernetes.article import manifest
from tests.support.kubernetes.cluster import PATIENCE, Cluster
from tests.support.kubernetes.deployments import PORT, a_deployment
from tests.support.kubernetes.node.network import GATEWAY
from tests.support.waiting import until

VARIABLES = ("PASSWORD", "PREFIX_colour", "NODE", "ABSENT", "PYTEST_VERSION")
FILES = ("/etc/app/app.yaml", "/etc/app/more/secret", "/etc/labels")
PLACES = ("/", "/etc/app", "/tmp", "/claimed", "/dev/shm", "/var")  # noqa: S108 - of a pod
LOOK = """
import json, os, pathlib, socket, ssl, time, urllib.error, urllib.request
account = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")

def may_write(directory):
    try:
        pathlib.Path(directory, "written").touch()
    except OSError:
        return False
    return True

def asked(path):
    server = "https://" + os.environ["KUBERNETES_SERVICE_HOST"]
    headers = {"authorization": "Bearer " + (account / "token").read_text()}
    context = ssl.create_default_context(cafile=account / "ca.crt")
    try:
        return urllib.request.urlopen(urllib.request.Request(server + path, headers=headers), context=context).status
    except urllib.error.HTTPError as error:
        return error.code

print(json.dumps({
    "variables": {name: os.environ.get(name) for name in VARIABLES},
    "files": {name: pathlib.Path(name).read_text() for name in FILES},
    "host": socket.gethostname(),
    "namespace": (account / "namespace").read_text(),
    "may_write": [place for place in PLACES if may_write(place)],
    "names": [socket.gethostbyname(name) for name in ("kubernetes.default", "kubernetes.default.svc.cluster.local")],
    "asked": [asked("/api/v1/namespaces/default/pods"), asked("/api/v1/namespaces/default/configmaps")],
}), flush=True)
time.sleep(600)
"""
eventually = partial(until, limit_s=60.0)
RBAC = "rbac.authorization.k8s.io"
STORAGE = {"requests": {"storage": "1Gi"}}
ROLE = {"apiGroup": RBAC, "kind": "Role", "name": "reader"}
ACCOUNT = {"kind": "ServiceAccount", "name": "reader", "namespace": "default"}


def an_object(kind: str, name: str, version: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "default"}, **fields}


SECRET = an_object("Secret", "app", stringData={"secret": "s3cret", "colour": "red"})
SURROUNDINGS = (
    an_object("ConfigMap", "app", data={"app.yaml": "a: 1\n", "colour": "blue"}),
    an_object("PersistentVolumeClaim", "app", spec={"accessModes": ["ReadWriteOnce"], "resources": STORAGE}),
    an_object("ServiceAccount", "reader"),
    an_object("Role", "reader", f"{RBAC}/v1", rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]),
    an_object("RoleBinding", "reader", f"{RBAC}/v1", roleRef=ROLE, subjects=[ACCOUNT]),
)
VOLUMES = {
    "app": {"configMap": {"name": "app", "items": [{"key": "app.yaml", "path": "app.yaml"}]}},
    "more": {"secret": {"secretName": "app", "items": [{"key": "secret", "path": "secret"}]}},
    "labels": {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    "tmp": {"emptyDir": {}},
    "claimed": {"persistentVolumeClaim": {"claimName": "app"}},
}
MOUNTS = {
    "/etc/app": ("app", {"readOnly": True}), "/etc/app/more": ("more", {"readOnly": True}),
    "/etc/labels": ("labels", {"subPath": "labels"}), PLACES[2]: ("tmp", {}), "/claimed": ("claimed", {}),
}  # fmt: skip


def a_looking_pod() -> dict[str, Any]:
    container = {
        "name": "look",
        "image": "none",
        "command": [sys.executable, "-c", f"{VARIABLES=}\n{FILES=}\n{PLACES=}\n{LOOK}"],
        "envFrom": [{"prefix": "PREFIX_", "configMapRef": {"name": "app"}}],
        "env": [
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "app", "key": "secret"}}},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "ABSENT", "valueFrom": {"secretKeyRef": {"name": "app", "key": "none", "optional": True}}},
        ],
        "securityContext": {"readOnlyRootFilesystem": True},
        "volumeMounts": [{"name": name, "mountPath": path, **more} for path, (name, more) in MOUNTS.items()],
        "lifecycle": {"preStop": {"exec": {"command": ["touch", "/claimed/ended"]}}},
    }
    volumes = [{"name": name, **source} for name, source in VOLUMES.items()]
    spec = {"serviceAccountName": "reader", "containers": [container], "volumes": volumes}
    return an_object("Pod", "look", spec={**spec, "terminationGracePeriodSeconds": 5})


def test_a_pod_has_the_files_variables_names_and_rights_that_it_asks_for(cluster: Cluster):
    cluster.kubectl("apply", "-f", "-", given=manifest(*SURROUNDINGS, a_looking_pod()))
    why = "jsonpath={.status.containerStatuses[0].state.waiting.message}"
    eventually(lambda: cluster.kubectl("get", "pod", "look", "-o", why) == 'secret "app" not found')

    cluster.kubectl("apply", "-f", "-", given=manifest(SECRET))
    log = cluster.folder / "default_look_look.log"
    eventually(lambda: log.exists() and log.read_text().endswith("\n"))

    seen = json.loads(log.read_text())
    variables = {"PASSWORD": "s3cret", "PREFIX_colour": "blue", "NODE": "node-a"}
    assert {**variables, "ABSENT": None, "PYTEST_VERSION": None} == seen["variables"]
    assert {"/etc/app/app.yaml": "a: 1\n", "/etc/app/more/secret": "s3cret", "/etc/labels": ""} == seen["files"]
    assert ("look", "default") == (seen["host"], seen["namespace"])
    assert [*PLACES[2:5]] == seen["may_write"]
    assert ["10.96.0.1"] * 2 == seen["names"]
    assert [200, 403] == seen["asked"]
    assert not Path("/dev/shm/written").exists()  # noqa: S108 - the machine's

    cluster.kubectl("delete", "pod", "look")
    assert {"written", "ended"} == {path.name for path in (cluster.folder / "claims/default/app").iterdir()}


@pytest.fixture
def web(cluster: Cluster) -> str:
    """The address of a Service with two pods, as the cluster gives it."""
    ports = [{"port": 80, "targetPort": PORT}]
    service = an_object("Service", "web", spec={"type": "NodePort", "selector": {"app": "web"}, "ports": ports})
    cluster.kubectl("apply", "-f", "-", given=manifest(service, a_deployment("web", 2)))
    cluster.kubectl("rollout", "status", "deployment/web", PATIENCE)
    return cluster.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}:{.spec.ports[0].nodePort}")


def test_a_service_is_reached_at_its_address_and_on_every_node(web: str):
    address, _, port = web.partition(":")

    for url in (f"http://{address}/", f"http://{GATEWAY}:{port}/"):
        assert 200 == httpx.get(url, trust_env=False).status_code


def test_envoy_gateway_runs_the_envoy_that_it_pins(cluster: Cluster, web: str):
    gateway = "gateway.networking.k8s.io/v1"
    controller = "gateway.envoyproxy.io/gatewayclass-controller"
    rule = {"backendRefs": [{"name": "web", "port": 80}]}
    listener = {"name": "http", "protocol": "HTTP", "port": 80}
    objects = (
        an_object("GatewayClass", "plain", gateway, spec={"controllerName": controller}),
        an_object("Gateway", "plain", gateway, spec={"gatewayClassName": "plain", "listeners": [listener]}),
        an_object("HTTPRoute", "web", gateway, spec={"parentRefs": [{"name": "plain"}], "rules": [rule]}),
    )
    cluster.kubectl("apply", "-f", "-", given=manifest(*objects))
    query = ("-n", "envoy-gateway-system", "-l", "gateway.envoyproxy.io/owning-gateway-name=plain")
    try:
        eventually(lambda: cluster.kubectl("get", "pods", *query, "-o", "name"))
        cluster.kubectl("wait", "pod", *query, "--for=condition=Ready", PATIENCE)
        path = "jsonpath={.items[0].status.podIP} {.items[0].spec.containers[0].image}"
        address, image = cluster.kubectl("get", "pods", *query, "-o", path).split()
        eventually(lambda: httpx.get(f"http://{address}:10080/", trust_env=False).status_code == 200)

        version = f"v{cluster.envoy_version()}@"
        assert version in image
    finally:
        cluster.kubectl("delete", "gateway", "plain")
