"""The engines as Envoy endpoints: static in the configuration, or in a file that Envoy watches (EDS).

Lives here: which addresses exist and what Envoy knows about each.  Not here: where the fleet's description comes from
(gateway.discovery), which endpoint a request goes to (routing decides, gateway.envoy.clusters obeys).
"""

import os
from pathlib import Path

import orjson

from gateway.config.apis import INSIDE
from gateway.discovery.description import FleetDescription
from gateway.envoy.messages import Json, connect_address, message
from gateway.envoy.names import LB_NAMESPACE
from routing.types import Endpoint

ENGINES = "engines"
"""The one cluster of all engines of all models."""


def load_assignment(fleet: FleetDescription) -> Json:
    """Return every endpoint with its pod's name, its pool and the models that it serves, adapters among them.

    An API has no model here: it is sent only what the gateway sends there, and not what found no other endpoint.
    """
    endpoints = [_lb_endpoint(endpoint) for endpoint in fleet.endpoints]
    return {"cluster_name": ENGINES, "endpoints": [{"lb_endpoints": endpoints}] if endpoints else []}


def _lb_endpoint(endpoint: Endpoint) -> Json:
    pool = {"pool": endpoint.pool} if endpoint.pool else {}
    metadata: Json = {"forebay": {"pod": endpoint.name, **pool}}
    if endpoint.is_api:
        listener, _, number = endpoint.address.removeprefix(INSIDE).partition("/")
        address = {"envoy_internal_address": {"server_listener_name": listener, "endpoint_id": number}}
    else:
        address = connect_address(endpoint.address)
        metadata[LB_NAMESPACE] = {"model": sorted(endpoint.models)}
    return {"endpoint": {"address": address}, "metadata": {"filter_metadata": metadata}}


def render_eds(fleet: FleetDescription) -> bytes:
    """Return the content of the EDS file."""
    resource = message("envoy.config.endpoint.v3.ClusterLoadAssignment", **load_assignment(fleet))
    return orjson.dumps({"resources": [resource]}, option=orjson.OPT_INDENT_2)


def write_eds(path: Path, fleet: FleetDescription) -> bool:
    """Replace the EDS file if its content changes; return whether it did.

    The file is replaced by a rename, because Envoy watches for files moved into the directory and must never read half
    a file.
    """
    content = render_eds(fleet)
    if path.exists() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(content)
    fresh.replace(path)
    return True
