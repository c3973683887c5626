"""A real API server, which `make test-kubernetes` builds; without it these tests are skipped."""

import os
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from kube.client import Client, connection
from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.cluster import cluster as running_cluster
from tests.support.kubernetes.control_plane import START_DEADLINE_S, ControlPlane, control_plane
from tests.support.kubernetes.installed import Forebay
from tests.support.polling import until

PATIENCE_S = 120.0
"""Servers, controllers and processes of pods start beside each other, on a busy machine."""
eventually = partial(until, every_s=0.05, deadline_s=PATIENCE_S)
PROGRAMS = os.environ.get("FOREBAY_KUBERNETES", "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests of a real server time for its start, or skip them."""
    mark = pytest.mark.timeout(3 * START_DEADLINE_S) if PROGRAMS else pytest.mark.skip(reason="make test-kubernetes")
    for item in items:
        needs = {"plane", "cluster"} & {*getattr(item, "fixturenames", ())}
        if item.path.is_relative_to(Path(__file__).parent) and needs:
            item.add_marker(mark)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("plane"), Path(PROGRAMS)) as running:
        yield running


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for all tests, because Envoy Gateway and its Envoy take their time."""
    with running_cluster(tmp_path_factory.mktemp("cluster"), Path(PROGRAMS)) as running:
        yield running


@pytest.fixture(scope="session")
def forebay(cluster: Cluster) -> Forebay:
    """The same with the overlay `dev`, as a user installs it."""
    installed = Forebay(cluster)
    installed.install("dev")
    return installed


@pytest.fixture
async def client(plane: ControlPlane) -> AsyncIterator[Client]:
    async with Client(connection(plane.kubeconfig), "forebay-test") as made:
        yield made
