"""Deployments of a small web server, for tests of the node."""

import sys
from typing import Any

import msgspec

from kube.objects import Kind, Object, body

PORT = 8000


class DeploymentStatus(msgspec.Struct, frozen=True, rename="camel"):
    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0


class Deployment(Object, frozen=True):
    status: DeploymentStatus = DeploymentStatus()

    def has(self, count: int) -> bool:
        """Whether it has so many pods, all of them ready and of its newest version."""
        status = self.status
        is_seen = status.observed_generation == self.metadata.generation
        return is_seen and (count,) * 3 == (status.replicas, status.ready_replicas, status.updated_replicas)


DEPLOYMENTS = Kind("apps", "v1", "Deployment", "deployments", Deployment)


def a_deployment(name: str, replicas: int, version: str = "1", **pod: Any) -> dict[str, Any]:
    """A Deployment of a server that answers with the files of its directory; `version` changes its pods."""
    labels = {"app": name}
    container = {
        "name": "web",
        "image": "none",
        "command": [sys.executable, "-m", "http.server"],
        "args": [str(PORT), "--bind", "$(POD_IP)", "--directory", "/sys/class/net"],
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "VERSION", "value": version},
        ],
        "readinessProbe": {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1},
    }
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 5, **pod},
        },
    }
    return body(DEPLOYMENTS, name, "default", spec=spec)
