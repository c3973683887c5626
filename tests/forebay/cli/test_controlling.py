"""`forebay controllers` passes its options on."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from forebay.cluster import controllers
from tests.support.command import run

DEFAULTS = {
    "controllers": ("routes", "modeladapter", "podautoscaler"),
    "namespace": "aibrix-system",
    "gateway": "aibrix-eg",
    "kubeconfig": None,
    "listen": "127.0.0.1:8080",
    "lease": "aibrix-controller-manager",
    "request_timeout": "1h",
    "redis_url": "redis://127.0.0.1:6379/0",
    "is_cluster": False,
    "metrics_api": "",
    "metrics_service": "aibrix-metrics-api",
    "gateways": "app.kubernetes.io/name=aibrix-gateway-plugins",
    "optimizer": "http://aibrix-gpu-optimizer:8080",
}


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run the command and return the options that it passes on."""
    options: list[controllers.Options] = []
    monkeypatch.setattr(controllers, "run", options.append)

    def run_it(*arguments: str, **environment: str) -> dict[str, Any]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        result = run("controllers", *arguments)
        assert 0 == result.exit_code, result.output
        return asdict(options[-1])

    return run_it


def test_defaults_are_those_of_the_manifests(passed: Callable[..., dict[str, Any]]):
    assert DEFAULTS == passed()


def test_every_option_is_passed_on(passed: Callable[..., dict[str, Any]]):
    assert {
        "controllers": ("routes", "modeladapter", "podautoscaler"),
        "namespace": "n",
        "gateway": "g",
        "kubeconfig": Path("k"),
        "listen": "[::1]:9",
        "lease": "l",
        "request_timeout": "90s",
        "redis_url": "redis://r:1/2",
        "is_cluster": True,
        "metrics_api": "0.0.0.0:6443",
        "metrics_service": "s",
        "gateways": "app=g",
        "optimizer": "http://o",
    } == passed(
        "--controllers=routes,*,routes", "--namespace=n", "--gateway=g", "--kubeconfig=k", "--listen=[::1]:9",
        "--lease=l", "--request-timeout=90s", "--redis=redis://r:1/2", "--redis-cluster", "--metrics-api=0.0.0.0:6443",
        "--metrics-service=s", "--gateways=app=g", "--optimizer=http://o",
    )  # fmt: skip


def test_in_a_pod_its_namespace_is_the_default(passed: Callable[..., dict[str, Any]]):
    assert "elsewhere" == passed(POD_NAMESPACE="elsewhere")["namespace"]


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("--controllers=routes,nope", "nope: there are routes, modeladapter, podautoscaler, and * for all"),
        ("--controllers=,", "names no controller"),
        ("--request-timeout=120", "must be a duration"),
        ("--listen=8080", "must be host:port"),
    ],
)
def test_impossible_options_are_usage_errors(option: str, why: str):
    result = run("controllers", option)

    assert 2 == result.exit_code
    assert why in result.output
