"""The clusters of the Envoy configuration: the engines, and the gateway's workers.

Lives here: load balancing, connection pools, health checks of workers.  Not here: which engine a request goes to (the
gateway says so in the metadata `envoy.lb`), the endpoints (endpoints), retries (listener).
"""

from collections.abc import Sequence

from gateway.config.addresses import is_ip
from gateway.config.settings import Settings
from gateway.discovery.description import FleetDescription
from gateway.envoy.endpoints import ENGINES, load_assignment
from gateway.envoy.headers import ROOMY_HEADERS, ROOMY_HEADERS_KB, strip_untrusted
from gateway.envoy.messages import Json, connect_address, duration, extension, message
from gateway.envoy.names import DESTINATION, LB_NAMESPACE
from gateway.envoy.tls import to_gateways

PROCESSOR = "processor"
"""The cluster of all workers, of one gateway or of several."""
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_POLICIES = "envoy.load_balancing_policies"
_POLICY_TYPES = "envoy.extensions.load_balancing_policies"

# Envoy's defaults of 1,024 would refuse the 1,025th concurrent request, but limits are the gateway's to set.
UNLIMITED: Json = {
    "thresholds": [
        {"max_connections": 1_000_000, "max_pending_requests": 1_000_000, "max_requests": 1_000_000,
         "max_retries": 1_000_000}
    ]
}  # fmt: skip
_ENGINE_IDLE_S = 4.0
"""vLLM closes an idle connection after 5 s; Envoy must close it before that."""
_PROCESSOR_STREAMS = 10_000
"""Streams at once on a connection to a worker; an exchange holds one until its answer ends."""
_PROCESSOR_CHECK_S = 0.5
"""Between two health checks of a worker: one failure takes a killed worker out; a check costs it some 50 us."""


def clusters(settings: Settings, fleet: FleetDescription) -> list[Json]:
    """Return all clusters of the configuration."""
    workers = [
        _grpc_cluster(worker_cluster(index), [address], settings) for index, address in enumerate(own_workers(settings))
    ]
    return [_engines(settings, fleet), _processor(settings), *workers]


def own_workers(settings: Settings) -> tuple[str, ...]:
    """Return the addresses of the workers, if Envoy knows each by its index; empty where there are several gateways."""
    return () if settings.envoy.gateways else settings.listen.workers


def worker_cluster(index: int) -> str:
    """Return the name of the cluster of one worker alone, to which its access-log entries are sent."""
    return f"worker-{index}"


def _engines(settings: Settings, fleet: FleetDescription) -> Json:
    return {
        **engine_cluster(ENGINES, settings, engine_filters()),
        "load_balancing_policy": _override_host(settings.envoy.fail_open),
        **_engine_endpoints(settings, fleet),
    }


def engine_cluster(name: str, settings: Settings, filters: list[Json]) -> Json:
    """Return a cluster of engines, behind `filters`, without its endpoints and the choice among them."""
    return {
        "name": name,
        "connect_timeout": duration(settings.timeouts.connect_s),
        "per_connection_buffer_limit_bytes": 1024 * 1024,
        "circuit_breakers": UNLIMITED,
        "typed_extension_protocol_options": {HTTP_OPTIONS: _engine_http(filters)},
    }


def _engine_endpoints(settings: Settings, fleet: FleetDescription) -> Json:
    if not settings.envoy.eds_file:
        return {"type": "STATIC", "load_assignment": load_assignment(fleet)}
    directory = settings.envoy.eds_file.rpartition("/")[0] or "."
    source = {"path": settings.envoy.eds_file, "watched_directory": {"path": directory}}
    return {"type": "EDS", "eds_cluster_config": {"eds_config": {"path_config_source": source}}}


def _override_host(fail_open: bool) -> Json:
    """Return the policy that tries the named endpoints in their order, then any that serves the same model, no other.

    Only with `fail_open` any endpoint will do: when no gateway answered, there is no model to go by.
    """
    by_model = message(
        f"{_POLICY_TYPES}.subset.v3.Subset",
        fallback_policy="ANY_ENDPOINT" if fail_open else "NO_FALLBACK",
        subset_selectors=[{"keys": ["model"], "fallback_policy": "NO_FALLBACK"}],
        list_as_any=True,
        allow_redundant_keys=True,  # the namespace holds the destination too
        subset_lb_policy=_policy("least_request", message(f"{_POLICY_TYPES}.least_request.v3.LeastRequest")),
    )
    override = message(
        f"{_POLICY_TYPES}.override_host.v3.OverrideHost",
        override_host_sources=[
            {"metadata": {"key": LB_NAMESPACE, "path": [{"key": DESTINATION}]}},
            {"header": DESTINATION},
        ],
        fallback_policy=_policy("subset", by_model),
    )
    return _policy("override_host", override)


def _policy(name: str, config: Json) -> Json:
    return {"policies": [{"typed_extension_config": {"name": f"{_POLICIES}.{name}", "typed_config": config}}]}


def engine_filters() -> list[Json]:
    """Return the filters between Envoy and an engine, the codec last."""
    return [strip_untrusted(), upstream_codec()]


def upstream_codec() -> Json:
    """Return the last of the filters before an upstream."""
    name = "envoy.filters.http.upstream_codec"
    return extension(name, "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec")


def _engine_http(filters: list[Json]) -> Json:
    return message(
        HTTP_OPTIONS,
        common_http_protocol_options={
            "idle_timeout": duration(_ENGINE_IDLE_S),
            "max_headers_count": ROOMY_HEADERS,
            "max_response_headers_kb": ROOMY_HEADERS_KB,
        },
        explicit_http_config={"http_protocol_options": {}},
        http_filters=filters,
    )


def _processor(settings: Settings) -> Json:
    addresses = settings.envoy.gateways or settings.listen.workers or (settings.listen.grpc,)
    check = {
        "timeout": "1s",
        "interval": duration(_PROCESSOR_CHECK_S),
        "no_traffic_interval": duration(_PROCESSOR_CHECK_S),
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "grpc_health_check": {},
    }
    return {
        **_grpc_cluster(PROCESSOR, addresses, settings),
        "lb_policy": "LEAST_REQUEST",
        # When no worker is healthy, Envoy tries each of them all the same: a worker that knows no pods yet says
        # NOT_SERVING, and still answers requests better than Envoy does.
        "common_lb_config": {"healthy_panic_threshold": {"value": 1.0}},
        "health_checks": [check],
    }


def _grpc_cluster(name: str, addresses: Sequence[str], settings: Settings) -> Json:
    sockets = [connect_address(address) for address in addresses]
    has_names = not all(is_ip(each["socket_address"]["address"]) for each in sockets)
    endpoints = [{"endpoint": {"address": each}} for each in sockets]
    http2 = {"http2_protocol_options": {"max_concurrent_streams": _PROCESSOR_STREAMS}}
    resolved = {"type": "STRICT_DNS", "dns_lookup_family": "V4_PREFERRED"}
    return {
        "name": name,
        **(resolved if has_names else {"type": "STATIC"}),
        "connect_timeout": duration(settings.timeouts.connect_s),
        "circuit_breakers": UNLIMITED,
        "typed_extension_protocol_options": {HTTP_OPTIONS: message(HTTP_OPTIONS, explicit_http_config=http2)},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        **to_gateways(settings.envoy.gateway_tls),
    }
