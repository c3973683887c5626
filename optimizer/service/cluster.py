"""The deployments of a Kubernetes cluster, as they change.

Lives here: which objects are followed, and whether what is known of them may be old.  Not here: what they mean
(workloads), lists, watches and outages (kube).  While the API server is away the last deployments stay.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from random import Random
from typing import Any

from kube.client import Client, connection
from kube.following import by_kind, named, values
from kube.informer import Informer
from optimizer.planning.deployments import Deployment
from optimizer.service.workloads import WORKLOADS, Workloads

MANAGER = "forebay-optimizer"


class ClusterDeployments:
    """The workloads that name a model, in one namespace or (`namespace` empty) in all; a source of deployments."""

    def __init__(self, kubeconfig: Path | None, namespace: str, rng: Random) -> None:
        """Raises NoWayError where it is not known how to reach the API server."""
        self._config = connection(kubeconfig)
        self._namespace = namespace
        self._rng = rng
        self._followed: Sequence[Informer[Any]] = ()

    @property
    def problem(self) -> str:
        """Why what was yielded last may be out of date; empty while it is not."""
        if not self._followed:
            return "the cluster was not asked yet"
        behind = (
            f"{one.kind.plural}: {one.failure or 'not listed yet'}" for one in self._followed if not one.is_current
        )
        return "; ".join(dict.fromkeys(behind))

    async def watch(self) -> AsyncIterator[tuple[Deployment, ...]]:
        """Yield all deployments after the first lists, and whenever any of them is another one."""
        workloads = Workloads()
        async with Client(self._config, MANAGER) as client:
            self._followed = followed = named(client, WORKLOADS, self._namespace, self._rng)
            async with aclosing(values(lambda: workloads.deployments(by_kind(followed)), followed)) as found:
                async for deployments in found:
                    yield deployments
