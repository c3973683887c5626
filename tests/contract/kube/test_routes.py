"""The controller of routes, on an API server with the kinds of the Gateway API and of workloads that are to come."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from random import Random
from typing import Any

import pytest

from controllers.owned import Owned
from controllers.routes.controller import RoutesController
from controllers.routes.names import RESERVED
from controllers.routes.objects import ROUTES, Home
from controllers.routes.plan import Rules
from kube.client import Client
from kube.events import About, Recorder
from kube.models import MODEL
from kube.objects import Key, Kind, body
from tests.contract.kube.conftest import Cluster
from tests.support.kubernetes.deployments import DEPLOYMENTS
from tests.support.kubernetes.hands import Hands
from tests.support.polling import until

PATHS = ("/v1/chat/completions", "/v1/completions")


class Notes(Recorder):
    """A recorder that keeps what it has told."""

    def __init__(self, client: Client) -> None:
        super().__init__(client, "forebay-test", "i", clocks=Hands().clocks(), rng=Random(1))
        self.told: list[tuple[str, str]] = []

    async def tell(self, about: About, reason: str, note: str, **more: Any) -> None:
        await super().tell(about, reason, note, **more)
        self.told.append((about.metadata.name, reason))


class Leader:
    """A controller that leads, as its sets show the world."""

    def __init__(self, client: Client, home: str) -> None:
        self.notes = Notes(client)
        rules = Rules(Home(home, "aibrix-eg"), PATHS, "1h")
        self.controller = RoutesController(client, rules, self.notes, Hands().clocks(), Random(2))

    def objects(self, kind: Kind[Any]) -> Mapping[Key, Owned]:
        return next(one.objects for one in self.controller.followed if one.kind is kind)


@pytest.fixture
async def leader(client: Client, cluster: Cluster) -> AsyncIterator[Leader]:
    made = Leader(client, cluster.namespace)
    tasks = [asyncio.create_task(informer.run()) for informer in made.controller.followed]
    tasks.append(asyncio.create_task(made.controller.lead()))
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def a_deployment(name: str, namespace: str, model: str) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return body(DEPLOYMENTS, name, namespace, metadata={"labels": {MODEL: model}}, spec=spec)


async def test_a_route_of_somebody_else_stays_as_it_is_and_is_told(leader: Leader, client: Client, cluster: Cluster):
    spec = {"parentRefs": [{"name": "aibrix-eg"}], "rules": [{"backendRefs": [{"name": "x", "port": 1}]}]}
    await until(lambda: f"{cluster.namespace}/{RESERVED}" in leader.objects(ROUTES))
    theirs = await client.create(ROUTES, body(ROUTES, "m-router", cluster.namespace, spec=spec))
    await until(lambda: f"{cluster.namespace}/m-router" in leader.objects(ROUTES))

    await client.create(DEPLOYMENTS, a_deployment("d", cluster.namespace, "m"))
    await until(lambda: ("d", "RouteNotOurs") in leader.notes.told)

    assert theirs == await client.get(ROUTES, "m-router", cluster.namespace)
