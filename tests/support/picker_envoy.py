"""An Envoy as the gateway of an InferencePool has one: Forebay picks endpoints by proposal 004, and configures nothing.

The whole exchange is FULL_DUPLEX_STREAMED.  The cluster `header` follows the destination in the request header, the
cluster `metadata` that in dynamic metadata; the request header `x-source` chooses.  What a request says in `x-subset`
becomes the subset hint.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.envoy.messages import bind_address, extension, message, set_header
from tests.support.envoy import running_with, settings_for

DESTINATION = "x-gateway-destination-endpoint"
HTTP = "envoy.extensions.filters.http"
POLICIES = "envoy.extensions.load_balancing_policies"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
LOG_FORMAT = {
    "path": "%REQ(:PATH)%",
    "status": "%RESPONSE_CODE%",
    "metadata": f"%DYNAMIC_METADATA(envoy.lb:{DESTINATION})%",
    "cost": "%DYNAMIC_METADATA(envoy.lb:x-gateway-inference-request-cost)%",
}


def picker_envoy(folder: Path, picker: str, pods: Sequence[str]) -> contextlib.AbstractAsyncContextManager[str]:
    """The proxy, ready; yields its base URL.  Its access log is `folder / access.log`, one JSON object per line."""
    settings = settings_for([], {})
    bootstrap = {
        "admin": {"address": bind_address(settings.envoy.admin)},
        "static_resources": {
            "listeners": [_listener(settings.envoy.listen, folder / "access.log")],
            "clusters": [_picker(picker), *(_pods(source, pods) for source in ("header", "metadata"))],
        },
    }
    return running_with(bootstrap, settings, folder, "--file-flush-interval-msec", "50")


def _listener(address: str, log: Path) -> dict[str, Any]:
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="users",
        http_filters=[_subset_hint(), _ext_proc(), extension("envoy.filters.http.router", f"{HTTP}.router.v3.Router")],
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [_route()]}]},
        access_log=[
            extension(
                "envoy.access_loggers.file",
                "envoy.extensions.access_loggers.file.v3.FileAccessLog",
                path=str(log),
                log_format={"json_format": LOG_FORMAT},
            )
        ],
    )
    return {"name": "users", "address": bind_address(address), "filter_chains": [{"filters": [manager]}]}


def _route() -> dict[str, Any]:
    shown = {
        "x-seen-header": f"%REQ({DESTINATION})%",
        "x-seen-metadata": LOG_FORMAT["metadata"],
        "x-pod": "%UPSTREAM_HOST%",
    }
    return {
        "match": {"prefix": "/"},
        "route": {"cluster_header": "x-source", "timeout": "30s"},
        "response_headers_to_add": [set_header(name, value) for name, value in shown.items()],
    }


def _subset_hint() -> dict[str, Any]:
    on_present = {"metadata_namespace": "envoy.lb.subset_hint", "key": f"{DESTINATION}-subset", "type": "STRING"}
    return extension(
        "envoy.filters.http.header_to_metadata",
        f"{HTTP}.header_to_metadata.v3.Config",
        request_rules=[{"header": "x-subset", "on_header_present": on_present, "remove": True}],
    )


def _ext_proc() -> dict[str, Any]:
    return extension(
        "envoy.filters.http.ext_proc",
        f"{HTTP}.ext_proc.v3.ExternalProcessor",
        grpc_service={"envoy_grpc": {"cluster_name": "picker"}},
        message_timeout="20s",
        processing_mode={
            "request_header_mode": "SEND",
            "request_body_mode": "FULL_DUPLEX_STREAMED",
            "request_trailer_mode": "SEND",
            "response_header_mode": "SEND",
            "response_body_mode": "FULL_DUPLEX_STREAMED",
            "response_trailer_mode": "SEND",
        },
        metadata_options={
            "forwarding_namespaces": {"untyped": ["envoy.lb.subset_hint"]},
            "receiving_namespaces": {"untyped": ["envoy.lb"]},
        },
    )


def _pods(source: str, pods: Sequence[str]) -> dict[str, Any]:
    where = (
        {"header": DESTINATION}
        if source == "header"
        else {"metadata": {"key": "envoy.lb", "path": [{"key": DESTINATION}]}}
    )
    fallback = _policy("round_robin", message(f"{POLICIES}.round_robin.v3.RoundRobin"))
    override = message(
        f"{POLICIES}.override_host.v3.OverrideHost", override_host_sources=[where], fallback_policy=fallback
    )
    return {
        "name": source,
        "type": "STATIC",
        "load_balancing_policy": _policy("override_host", override),
        "load_assignment": _assignment(source, pods),
    }


def _picker(address: str) -> dict[str, Any]:
    http2 = message(HTTP_OPTIONS, explicit_http_config={"http2_protocol_options": {}})
    return {
        "name": "picker",
        "type": "STATIC",
        "typed_extension_protocol_options": {HTTP_OPTIONS: http2},
        "load_assignment": _assignment("picker", [address]),
    }


def _policy(name: str, config: dict[str, Any]) -> dict[str, Any]:
    typed = {"name": f"envoy.load_balancing_policies.{name}", "typed_config": config}
    return {"policies": [{"typed_extension_config": typed}]}


def _assignment(name: str, addresses: Sequence[str]) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": bind_address(address)}} for address in addresses]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}
