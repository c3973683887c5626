"""The Service and the EndpointSlice of an adapter: a headless Service of its name, with the pods that have it.

Lives here: the objects, and writing them.  Not here: which pods have it (plan).  Both belong to the adapter and go with
it; an object of that name that is somebody else's is not touched.
"""

from typing import Any

from controllers.modeladapter.objects import ADAPTERS, Adapter
from controllers.modeladapter.plan import Wish
from controllers.owned import LABELS, MANAGED_BY, US
from kube.client import Client
from kube.errors import NotFound
from kube.models import DEFAULT_PORT, MODEL
from kube.objects import Kind, Object, body

SERVICES = Kind("", "v1", "Service", "services", Object)
SLICES = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", Object)
SERVICE_NAME, SLICE_MANAGER = "kubernetes.io/service-name", "endpointslice.kubernetes.io/managed-by"


def service(adapter: Adapter) -> dict[str, Any]:
    """Return the headless Service, without a selector: which pods it has is up to the EndpointSlice."""
    labels = {MODEL: adapter.spec.base_model} if adapter.spec.base_model else {}
    port = adapter.named_port or DEFAULT_PORT
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "ports": [{"name": "http", "port": port, "targetPort": port, "protocol": "TCP"}],
    }
    return body(SERVICES, **_place(adapter, labels), spec=spec)


def endpoint_slice(adapter: Adapter, wish: Wish) -> dict[str, Any]:
    """Return the EndpointSlice: a slice is of one family of addresses and one port, those of its first pod."""
    name = adapter.metadata.name
    labels = {SERVICE_NAME: name, SLICE_MANAGER: US}
    first = next(iter(wish.serving or wish.candidates), None)
    is_v6 = first is not None and ":" in first.ip
    port = first.port if first else adapter.named_port or DEFAULT_PORT
    endpoints = [
        {
            "addresses": [host.ip],
            "conditions": {"ready": True},
            "targetRef": {"kind": "Pod", "namespace": adapter.metadata.namespace, "name": host.name, "uid": host.uid},
        }
        for host in sorted(wish.serving)
        if (":" in host.ip, host.port) == (is_v6, port)
    ]
    ports = [{"name": "http", "port": port, "protocol": "TCP"}]
    family = "IPv6" if is_v6 else "IPv4"
    return body(SLICES, **_place(adapter, labels), addressType=family, endpoints=endpoints, ports=ports)


def _place(adapter: Adapter, labels: dict[str, str]) -> dict[str, Any]:
    meta = adapter.metadata
    owner = {
        "apiVersion": ADAPTERS.api_version, "kind": ADAPTERS.name, "name": meta.name, "uid": meta.uid,
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    metadata = {"labels": {**LABELS, **labels}, "ownerReferences": [owner]}
    return {"name": meta.name, "namespace": meta.namespace, "metadata": metadata}


async def publish(client: Client, kind: Kind[Object], wanted: dict[str, Any]) -> str:
    """Write an object; return why not where one of its name is somebody else's.  Raises ApiError."""
    name, namespace = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
    try:
        found = await client.get(kind, name, namespace)
    except NotFound:
        pass
    else:
        if found.metadata.labels.get(MANAGED_BY) != US:
            return f"{kind.name} {name} exists and is not Forebay's: it has no label {MANAGED_BY}={US}"
    await client.apply(kind, wanted, force=True)
    return ""
