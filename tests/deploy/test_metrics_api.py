"""The component `metrics-api`: the API server is led to the controllers, and these to what they read."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from controllers.metricsapi.answers import API_SERVICES
from forebay.cli.controlling import controllers
from tests.support.manifests import OVERLAYS, containers, kubectl, named, objects, with_components


@pytest.mark.skipif(kubectl() is None, reason="needs kubectl")
def test_the_metrics_apis_lead_to_the_controllers(tmp_path: Path):
    found = objects(with_components(tmp_path, OVERLAYS / "default", "metrics-api"))
    [container] = containers(named(found, "Deployment", "aibrix-controller-manager"))
    options = controllers.make_context("controllers", list(container["args"][1:])).params
    service = named(found, "Service", options["metrics_service"])
    led = [one for one in found if one["kind"] == "APIService"]
    policy = named(found, "NetworkPolicy", "aibrix-controller-manager")["spec"]["ingress"]

    assert set(API_SERVICES) == {one["metadata"]["name"] for one in led}
    place = {key: service["metadata"][key] for key in ("name", "namespace")}
    assert all(place == one["spec"]["service"] for one in led)
    assert all(one["metadata"]["name"] == f"{one['spec']['version']}.{one['spec']['group']}" for one in led)
    assert {"name": "metrics-api", "containerPort": int(options["metrics_api"].rpartition(":")[2])} in container[
        "ports"
    ]
    assert {"ports": [{"port": "metrics-api"}]} in policy
    assert named(found, "Deployment", urlsplit(options["optimizer"]).hostname)
    key, _, value = options["gateways"].partition("=")
    gateways = named(found, "Deployment", "aibrix-gateway-plugins")["spec"]["template"]
    assert value == gateways["metadata"]["labels"][key]
    assert f"{options['metrics_service']}-tls" in str(named(found, "Role", "aibrix-metrics-api"))
