"""The components for engines: the runtime beside them, and the monitor by which Prometheus finds them."""

import os
import re
from pathlib import Path

import pytest
import yaml

from tests.support.kubernetes.fields import wrong_fields
from tests.support.manifests import COMPONENTS, Json, containers, kubectl, named, objects
from tests.support.source_tree import ROOT

ENGINES = "aibrix-engines"
MONITORS = COMPONENTS / "service-monitor" / "service-monitors.yaml"


def monitor() -> Json:
    """The monitor's `spec`."""
    return dict(named(tuple(yaml.safe_load_all(MONITORS.read_text())), "ServiceMonitor", ENGINES)["spec"])


def target(address: str, annotations: dict[str, str]) -> tuple[str, str, str] | None:
    """The scheme, address and path at which Prometheus asks a pod, as the monitor of engines relabels its address.

    Its rules are Prometheus' own: values of `sourceLabels` joined by `;`, a regular expression that has to match all.
    """
    [endpoint] = monitor()["endpoints"]
    labels = {"__address__": address, "__metrics_path__": endpoint["path"], "__scheme__": "http"}
    meta = "__meta_kubernetes_service_annotation_"
    labels |= {meta + re.sub(r"[^a-zA-Z0-9_]", "_", name): value for name, value in annotations.items()}
    for rule in endpoint["relabelings"]:
        given = ";".join(labels.get(name, "") for name in rule["sourceLabels"])
        matched = re.fullmatch(rule.get("regex", "(.*)"), given)
        if rule.get("action") == "keep" and not matched:
            return None
        if matched and "targetLabel" in rule:
            labels[rule["targetLabel"]] = matched.expand(rule.get("replacement", "$1").replace("$", "\\"))
    return labels["__scheme__"], labels["__address__"], labels["__metrics_path__"]


@pytest.mark.parametrize(
    ("address", "annotations", "found"),
    [
        ("10.0.0.9:8000", {"scrape": "true", "port": "8080"}, ("http", "10.0.0.9:8080", "/metrics")),
        ("[fd00::9]:8000", {"scrape": "true", "port": "8080"}, ("http", "[fd00::9]:8080", "/metrics")),
        ("10.0.0.9:8000", {"scrape": "true"}, ("http", "10.0.0.9:8000", "/metrics")),
        ("10.0.0.9:8000", {"scrape": "true", "path": "prom", "scheme": "https"}, ("https", "10.0.0.9:8000", "/prom")),
        ("10.0.0.9:8000", {"scrape": "true", "path": "/prom"}, ("http", "10.0.0.9:8000", "/prom")),
        ("10.0.0.9:8000", {"scrape": "false", "port": "8080"}, None),
        ("10.0.0.9:8000", {}, None),
    ],
)
def test_engines_are_asked_where_the_annotations_of_their_service_say(
    address: str, annotations: dict[str, str], found: tuple[str, str, str] | None
):
    assert found == target(address, {f"prometheus.io/{name}": value for name, value in annotations.items()})


@pytest.mark.parametrize("sample", ["article/model.yaml", "article/route.yaml", "heterogeneous/service.yaml"])
def test_the_services_of_samples_are_found_by_the_monitor_of_engines(sample: str):
    wanted = monitor()
    found = yaml.safe_load_all((ROOT / "samples" / sample).read_text())
    for service in (one for one in found if one["kind"] == "Service"):
        assert wanted["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert wanted["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
        assert ("http", "10.0.0.9:8080", "/metrics") == target("10.0.0.9:8000", service["metadata"]["annotations"])


@pytest.mark.skipif(kubectl() is None, reason="needs kubectl")
def test_the_runtime_is_added_to_the_deployments_that_ask_for_it(tmp_path: Path):
    text = (ROOT / "samples" / "simulated" / "model.yaml").read_text()
    asking = '  namespace: default\n  annotations: {model.aibrix.ai/sidecar-injection: "true"}\n  labels:'
    (tmp_path / "asks.yaml").write_text(text.replace("  namespace: default\n  labels:", asking, 1))
    (tmp_path / "not.yaml").write_text(text.replace("name: demo", "name: other"))
    component = os.path.relpath(COMPONENTS / "runtime", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": ["asks.yaml", "not.yaml"], "components": [component]})
    )

    found = objects(tmp_path)

    deployments = {name: named(found, "Deployment", name) for name in ("demo", "other")}
    assert {"demo": ["engine", "aibrix-runtime"], "other": ["engine"]} == {
        name: [each["name"] for each in containers(one)] for name, one in deployments.items()
    }
    assert [] == [field for one in deployments.values() for field in wrong_fields(one) or []]
    beside = containers(deployments["demo"])[1]
    assert containers(deployments["demo"])[0]["image"] == beside["image"]
    assert {"livenessProbe", "readinessProbe"} <= beside.keys()
    [engine, _] = beside["env"]
    assert "metadata.labels['model.aibrix.ai/engine']" == engine["valueFrom"]["fieldRef"]["fieldPath"]
