"""The engines as Envoy endpoints: static in the configuration, or in a file that Envoy watches (EDS).

Lives here: which addresses exist and what Envoy knows of each.  Not here: which one a request goes to (routing decides,
gateway.envoy.clusters obeys).
"""

import os
from collections.abc import Sequence
from pathlib import Path

import orjson

from gateway.config.settings import EndpointSettings, ModelSettings
from gateway.envoy.messages import Json, connect_address, message
from gateway.envoy.names import LB_NAMESPACE

ENGINES = "engines"
"""The one cluster of all engines of all models."""


def load_assignment(models: Sequence[ModelSettings]) -> Json:
    """Every address once, with its pod's name and every model name that it serves.

    An address listed under several models is one endpoint: Envoy would drop the second one and its model with it.
    """
    served: dict[str, list[str]] = {}
    first: dict[str, EndpointSettings] = {}
    for model in models:
        for endpoint in model.endpoints:
            first.setdefault(endpoint.address, endpoint)
            served.setdefault(endpoint.address, []).extend((model.name, *endpoint.adapters))
    endpoints = [_lb_endpoint(first[address], sorted(set(names))) for address, names in served.items()]
    return {"cluster_name": ENGINES, "endpoints": [{"lb_endpoints": endpoints}] if endpoints else []}


def _lb_endpoint(endpoint: EndpointSettings, models: list[str]) -> Json:
    metadata = {"forebay": {"pod": endpoint.name or endpoint.address}, LB_NAMESPACE: {"model": models}}
    return {
        "endpoint": {"address": connect_address(endpoint.address)},
        "metadata": {"filter_metadata": metadata},
    }


def render_eds(models: Sequence[ModelSettings]) -> bytes:
    """The content of the EDS file."""
    resource = message("envoy.config.endpoint.v3.ClusterLoadAssignment", **load_assignment(models))
    return orjson.dumps({"resources": [resource]}, option=orjson.OPT_INDENT_2)


def write_eds(path: Path, models: Sequence[ModelSettings]) -> bool:
    """Replace the EDS file when its content changes; True when it did.

    By rename, because Envoy's watch fires on a move into the directory and must never read half a file.
    """
    content = render_eds(models)
    if path.exists() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(content)
    fresh.replace(path)
    return True
