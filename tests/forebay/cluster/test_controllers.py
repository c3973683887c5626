"""`forebay controllers` as a process without a cluster; with one: tests/kubernetes/test_routes.py."""

import json
import signal
import socket
from pathlib import Path

import pytest

from forebay.cluster.controllers import engine_paths
from tests.support.command import run
from tests.support.kubernetes.controllers import controllers
from tests.support.kubernetes.script import a_kubeconfig
from tests.support.polling import until
from tests.support.ports import free_address

KINDS = {
    "Deployment",
    "StatefulSet",
    "HTTPRoute",
    "ReferenceGrant",
    "ModelAdapter",
    "RayClusterFleet",
    "HTTPRouteFilter",
    "PodAutoscaler",
    "HorizontalPodAutoscaler",
    "Pod",
    "Service",
    "EndpointSlice",
}
"""All that the controllers depend on; only a server tells which of them are not installed."""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """The way to a server that is not there."""
    return a_kubeconfig(tmp_path, f"http://{free_address()}")


async def test_without_a_server_it_lives_says_why_it_waits_and_ends_in_order(kubeconfig: Path, tmp_path: Path):
    with controllers(kubeconfig, tmp_path / "log") as process:
        await until(lambda: process.logged("controllers_wait"))

        assert '{"status":"ok"}' == await process.page("/healthz")
        reasons = json.loads(await process.page("/readyz"))["reasons"]
        assert KINDS == {reason.split()[1] for reason in reasons}
        assert 0 == await process.metric("forebay_controllers_leading")
        assert 0 == await process.metric("forebay_kubernetes_followed", kind="Deployment")
        assert await process.metric("forebay_kubernetes_behind_seconds", kind="Deployment") > 0
        assert "controllers of a Kubernetes cluster" in await process.page("/")

        assert 0 == process.stop(signal.SIGTERM)


def test_an_address_in_use_is_one_line(kubeconfig: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("controllers", "--kubeconfig", str(kubeconfig), "--listen", f"127.0.0.1:{port}")

    assert 1 == result.exit_code
    assert result.output.startswith(f"Error: --listen = 127.0.0.1:{port}, is in use")
    assert 1 == result.output.count("\n")


@pytest.mark.parametrize(
    ("options", "why"),
    [((), "no kubeconfig is named, and this is no pod"), (("--kubeconfig", "absent"), "absent not found")],
)
def test_without_the_way_to_a_cluster_there_is_one_line(options: tuple[str, ...], why: str):
    result = run("controllers", *options)

    assert (1, 1) == (result.exit_code, result.output.count("\n"))
    assert why in result.output


def test_the_paths_are_those_that_engines_are_sent():
    paths = engine_paths()

    assert {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/tokenize"} <= set(paths)
    assert not {"/v1/models", "/v1/usage", "/health", "/ping", "/version", "/v1/chat/completions/batch"} & set(paths)
