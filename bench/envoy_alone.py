"""The smallest Envoy configuration that carries a request to the backend: the cost without any gateway."""

from gateway.config.settings import Settings

_TYPES = "type.googleapis.com/envoy.extensions"
_UNLIMITED = {"thresholds": [dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), 1_000_000)]}

Json = dict[str, object]


def render_alone(settings: Settings) -> Json:
    """Return the bootstrap for `settings.envoy` and the first endpoint of the first model; no other setting is used."""
    backend = settings.models[0].endpoints[0].address
    return {
        "static_resources": {"listeners": [_listener(settings.envoy.listen)], "clusters": [_cluster(backend)]},
        "admin": {"address": _address(settings.envoy.admin)},
    }


def _address(address: str) -> Json:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _listener(address: str) -> Json:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "users",
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"}}
        ],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": "users", "address": _address(address), "filter_chains": [chain]}


def _cluster(backend: str) -> Json:
    endpoint = {"endpoint": {"address": _address(backend)}}
    return {
        "name": "backend",
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": _UNLIMITED,
        "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
