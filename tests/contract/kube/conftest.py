"""An API server, as recorded or real.  The real one is opt-in: `make test-kubernetes` says where its programs are.

FOREBAY_RECORD=1 makes the real one write what the recorded one will say.
"""

import os
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from lightkube.config.kubeconfig import KubeConfig

from controllers.routes.workloads import ADAPTERS, FLEETS
from kube.client import Client, connection
from kube.objects import Kind, Object, body
from tests.support.kubernetes import gateway_api
from tests.support.kubernetes.control_plane import START_DEADLINE_S, TOKEN, ControlPlane, control_plane
from tests.support.kubernetes.conversation import Double, Recorder, load, save, served

PROGRAMS = os.environ.get("FOREBAY_KUBERNETES", "")
RECORDING = bool(os.environ.get("FOREBAY_RECORD"))
RECORDINGS = Path(__file__).parent / "recordings"
REAL = [pytest.param("real", marks=pytest.mark.timeout(START_DEADLINE_S))] if PROGRAMS else []
NAMESPACES = Kind("", "v1", "Namespace", "namespaces", Object)


@dataclass
class Cluster:
    """A server and a namespace for one test."""

    url: str
    namespace: str

    def client(self, manager: str = "forebay-test") -> Client:
        config = KubeConfig.from_server(self.url).get()
        assert config is not None
        return Client(config, manager)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("plane"), Path(PROGRAMS)) as running:
        yield running


@pytest.fixture(params=["recorded", *REAL])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    name = request.node.originalname.removeprefix("test_")
    namespace, recording = name.replace("_", "-")[:60].strip("-"), RECORDINGS / f"{name}.jsonl"
    if request.param == "recorded":
        double = Double(load(recording))
        async with served(double) as url:
            yield Cluster(url, namespace)
        assert [] == double.unsaid
        return
    plane: ControlPlane = request.getfixturevalue("plane")
    async with Client(connection(plane.kubeconfig), "forebay-test") as direct:
        await gateway_api.install(direct, [gateway_api.definition(kind) for kind in (ADAPTERS, FLEETS)])
    context = ssl.create_default_context(cafile=plane.folder / "apiserver.crt")
    headers = {"authorization": f"Bearer {TOKEN}", "accept-encoding": "identity"}
    async with httpx.AsyncClient(base_url=plane.url, verify=context, headers=headers, timeout=300) as upstream:
        created = await upstream.post("/api/v1/namespaces", json=body(NAMESPACES, namespace))
        created.raise_for_status()
        recorder = Recorder(upstream)
        async with served(recorder) as url:
            yield Cluster(url, namespace)
    if RECORDING:
        save(recording, recorder.exchanges)


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    async with cluster.client() as made:
        yield made
