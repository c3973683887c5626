"""The manifests and samples on a real API server with the kinds of Envoy Gateway, which checks every field and rule."""

import asyncio
import base64
import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kube.client import Client
from kube.errors import AlreadyExists
from kube.objects import Kind, Object
from tests.kubernetes.conftest import PROGRAMS
from tests.support.command import run
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.manifests import OVERLAYS
from tests.support.source_tree import ROOT

FOLDERS = [*sorted(OVERLAYS.iterdir()), *sorted((ROOT / "samples").iterdir())]


class Secret(Object, frozen=True):
    """A Secret with its values."""

    data: dict[str, str] = msgspec.field(default_factory=dict)


SECRETS = Kind("", "v1", "Secret", "secrets", Secret)
NAMESPACES = Kind("", "v1", "Namespace", "namespaces", Object)


async def with_namespace(client: Client) -> None:
    """Make the namespace of the manifests, which a dry run does not."""
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "aibrix-system"}}
    with contextlib.suppress(AlreadyExists):
        await client.create(NAMESPACES, body)


@pytest.fixture(scope="module", autouse=True)
def extension(plane: ControlPlane) -> None:
    """The kinds of Gateway API Inference Extension are there, as the overlay inference-pool needs them, and our own."""
    plane.kubectl("apply", "--server-side", "-f", Path(PROGRAMS) / "inference-crds")
    plane.kubectl("apply", "--server-side", "-k", ROOT / "deploy/base/crds")
    plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")


def sent(plane: ControlPlane, folder: Path) -> list[str]:
    """The objects that the server takes of a folder, without keeping them.  Fails with what it says."""
    options = ("--dry-run=server", "--validate=strict", "-o", "name", "-k")
    return plane.kubectl("apply", *options, folder).split()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
async def test_the_server_takes_every_object(plane: ControlPlane, client: Client, folder: Path):
    await with_namespace(client)

    taken = sent(plane, folder)

    workloads = [name for name in taken if name.startswith("deployment.apps/")]
    assert len(taken) >= 2
    assert workloads


async def test_an_object_that_breaks_a_rule_would_be_found(plane: ControlPlane, client: Client, tmp_path: Path):
    await with_namespace(client)
    (tmp_path / "policy.yaml").write_text(
        (ROOT / "deploy/components/envoy-gateway/policies.yaml")
        .read_text()
        .replace("endpointOverride:", "endpointOverrides:")
    )
    (tmp_path / "kustomization.yaml").write_text("resources: [policy.yaml]")

    with pytest.raises(AssertionError, match="endpointOverrides"):
        sent(plane, tmp_path)


async def test_secrets_are_made_once_and_by_chance(plane: ControlPlane, client: Client):
    command = ("make-secret", "made", "redis-password", "admin-token", "--kubeconfig", str(plane.kubeconfig))

    assert "default/made made with redis-password, admin-token\n" == (await asyncio.to_thread(run, *command)).output
    first = await client.get(SECRETS, "made", "default")
    assert "default/made exists and stays as it is\n" == (await asyncio.to_thread(run, *command)).output

    assert first.data == (await client.get(SECRETS, "made", "default")).data
    values = {base64.b64decode(value) for value in first.data.values()}
    assert {"redis-password", "admin-token"} == first.data.keys()
    assert [43, 43] == [len(value) for value in values]
