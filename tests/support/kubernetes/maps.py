"""ConfigMaps, the simplest objects that Kubernetes has, for tests of kube/."""

from typing import Any

import msgspec

from kube.objects import Kind, Object, body


class ConfigMap(Object, frozen=True):
    data: dict[str, str] = msgspec.field(default_factory=dict)


CONFIG_MAPS = Kind("", "v1", "ConfigMap", "configmaps", ConfigMap)


def a_map(name: str, namespace: str, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    """A ConfigMap to be written."""
    return body(CONFIG_MAPS, name, namespace, metadata={"labels": labels} if labels else {}, data=data)
