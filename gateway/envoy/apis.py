"""The way to pools that are APIs in the cloud: for each a listener inside Envoy, and a cluster that speaks TLS.

    users -> cluster `engines` -> listener `api-<pool>`, inside Envoy -> cluster `api-<pool>` -> the API

Lives here: what such a listener does, host and path and key.  Not here: which requests go there (gateway.fleet), the
body's model (gateway.extproc.relay).

To the users' listener the API is one more endpoint, an address inside Envoy: it is tried and left like any engine, in
one list with engines.  Its key is put in by the cluster's own filter, behind all retries, so that no other endpoint can
get it, and nothing but the API sees it (docs/decisions/0040).
"""

from collections.abc import Iterator

from gateway.config.addresses import is_ip, split_address
from gateway.config.apis import api_name
from gateway.config.pools import PoolSettings
from gateway.config.settings import Settings
from gateway.envoy.clusters import HTTP_OPTIONS, UNLIMITED, upstream_codec
from gateway.envoy.filters import MUTATION_RULES, asking_gateway
from gateway.envoy.headers import ROOMY_HEADERS, ROOMY_HEADERS_KB, header_filter, removals
from gateway.envoy.messages import Json, duration, extension, message
from gateway.envoy.names import API_NAMESPACE, API_POOL, CLIENT_MODEL, UNREACHED
from gateway.envoy.replies import UNAVAILABLE, local_replies
from gateway.envoy.tls import to_api
from gateway.openai.control_headers import CONTROL_HEADERS

_CONNECT_S = 5.0
"""Time to connect with TLS to an API that may be on another continent (chosen)."""
_IDLE_S = 30.0
"""Idle connections are closed after this time, before an API's load balancer does it after 60 s or more (chosen)."""
_KEPT = frozenset({
    "x-request-id", "traceparent", "host", "content-type", "content-length", "content-encoding", "transfer-encoding",
    "accept", "accept-encoding", "anthropic-version", "anthropic-beta",
})  # fmt: skip
"""The headers that an API gets of those that we go by; all others are for us, or say who the client is."""
_CLIENTS_OWN = ("cookie", "referer", "forwarded", "via", CLIENT_MODEL)
_CLIENTS_OWN_PREFIXES = ("x-forwarded-", "x-envoy-", "openai-")
_ACCOUNTS_OWN = (UNREACHED, "set-cookie", "alt-svc", "strict-transport-security", "server", "www-authenticate")
_ACCOUNTS_OWN_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-", "openai-", "cf-", "access-control-")
"""Headers of an API's answer that are about its host, or about the account that all clients share."""


def api_listeners(settings: Settings) -> list[Json]:
    """Return the listeners inside Envoy."""
    return [
        {
            "name": api_name(pool.name),
            "internal_listener": {},
            "per_connection_buffer_limit_bytes": 2 * settings.body_limit_bytes,
            "filter_chains": [{"filters": [_connection_manager(pool, settings)]}],
        }
        for pool in _api_pools(settings)
    ]


def api_clusters(settings: Settings) -> list[Json]:
    """Return the clusters of the APIs."""
    return [_cluster(pool) for pool in _api_pools(settings)]


def bootstrap_of_apis(settings: Settings) -> Json:
    """Return the fields of the bootstrap that listeners inside Envoy need; none without an API."""
    if not any(_api_pools(settings)):
        return {}
    inside = "envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
    return {"bootstrap_extensions": [extension("envoy.bootstrap.internal_listener", inside)]}


def api_secrets(settings: Settings) -> Json:
    """Return the static secrets, by the place of each key and not by the key; none without an API."""
    secrets = [
        {"name": api_name(pool.name), "generic_secret": {"secret": _place_of_key(pool)}}
        for pool in _api_pools(settings)
    ]
    return {"secrets": secrets} if secrets else {}


def unreached_apis(settings: Settings) -> list[Json]:
    """Return the matchers of answers that no API has made, so that the next endpoint is asked; none without an API."""
    return [{"name": UNREACHED, "present_match": True}] if any(_api_pools(settings)) else []


def _api_pools(settings: Settings) -> Iterator[PoolSettings]:
    return (pool for pool in settings.pools if pool.api is not None)


def _place_of_key(pool: PoolSettings) -> Json:
    assert pool.api is not None  # noqa: S101 - see _api_pools
    return {"filename": pool.api.key_file} if pool.api.key_file else {"environment_variable": pool.api.key_env}


def _connection_manager(pool: PoolSettings, settings: Settings) -> Json:
    return extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=api_name(pool.name),
        server_header_transformation="PASS_THROUGH",
        skip_xff_append=True,
        stream_idle_timeout=duration(settings.timeouts.idle_s),
        max_request_headers_kb=ROOMY_HEADERS_KB,
        common_http_protocol_options={"max_headers_count": ROOMY_HEADERS},
        local_reply_config=_local_replies(settings),
        http_filters=[_named(pool), asking_gateway(settings, _relayed()), _router()],
        route_config={"name": api_name(pool.name), "virtual_hosts": [_virtual_host(pool, settings)]},
    )


def _local_replies(settings: Settings) -> Json:
    """Return the mappers of the users' listener, with a mark for it on what says that the API could not be asked."""
    refusals, *others = local_replies(settings)["mappers"]
    return {"mappers": [refusals, *map(_marked, others), *others]}


def _marked(mapper: Json) -> Json:
    value = {"default_value": UNAVAILABLE, "runtime_key": "forebay.api_unreached"}
    unavailable = {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}
    mark = {"header": {"key": UNREACHED, "value": "true"}}
    headers = [*mapper.get("headers_to_add", []), mark]
    return {**mapper, "filter": {"and_filter": {"filters": [unavailable, mapper["filter"]]}}, "headers_to_add": headers}


def _named(pool: PoolSettings) -> Json:
    """Return the filter that names the pool to the gateway, in a place that no client can write to."""
    value = {"metadata_namespace": API_NAMESPACE, "value": {API_POOL: pool.name}}
    config = "envoy.extensions.filters.http.set_metadata.v3.Config"
    return extension("envoy.filters.http.set_metadata", config, metadata=[value])


def _relayed() -> Json:
    """Return the fields of ext_proc by which bodies pass the gateway in both directions, to change the model's name."""
    return {
        "processing_mode": {
            "request_header_mode": "SEND",
            "request_body_mode": "BUFFERED",
            "request_trailer_mode": "SKIP",
            "response_header_mode": "SEND",
            "response_body_mode": "STREAMED",
            "response_trailer_mode": "SKIP",
        },
        "mutation_rules": MUTATION_RULES,
        "metadata_options": {"forwarding_namespaces": {"untyped": [API_NAMESPACE]}},
    }


def _stripped() -> Json:
    """Return the filter that keeps clients from the API, and the account there from clients."""
    ours = sorted(CONTROL_HEADERS - _KEPT) + list(_CLIENTS_OWN)
    return header_filter(
        request_mutations=[*removals(), *map(_without, ours), *map(_without_any, _CLIENTS_OWN_PREFIXES)],
        response_mutations=[*removals(), *map(_without, _ACCOUNTS_OWN), *map(_without_any, _ACCOUNTS_OWN_PREFIXES)],
    )


def _without(name: str) -> Json:
    return {"remove": name}


def _without_any(prefix: str) -> Json:
    return {"remove_on_match": {"key_matcher": {"prefix": prefix}}}


def _router() -> Json:
    router = "envoy.extensions.filters.http.router.v3.Router"
    return extension("envoy.filters.http.router", router, suppress_envoy_headers=True)


def _virtual_host(pool: PoolSettings, settings: Settings) -> Json:
    assert pool.api is not None  # noqa: S101 - see _api_pools
    route = {
        "cluster": api_name(pool.name),
        "host_rewrite_literal": _host(pool.api.address),
        "regex_rewrite": {"pattern": {"regex": "^/v1(/|$)"}, "substitution": rf"{pool.api.prefix}\1"},
        "timeout": duration(settings.timeouts.request_s),
        "idle_timeout": duration(settings.timeouts.idle_s),
        # An idle connection that the API closes at that moment; what else fails is for the next endpoint.
        "retry_policy": {"retry_on": "refused-stream,reset-before-request", "num_retries": 1},
    }
    return {"name": api_name(pool.name), "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}


def _host(address: str) -> str:
    """Return the header `host`: without the port where it is that of HTTPS."""
    return address.removesuffix(":443")


def _cluster(pool: PoolSettings) -> Json:
    assert pool.api is not None  # noqa: S101 - see _api_pools
    host, port = split_address(pool.api.address)
    endpoint = {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}
    resolved = {"type": "STRICT_DNS", "dns_lookup_family": "V4_PREFERRED"}
    return {
        "name": (name := api_name(pool.name)),
        **({"type": "STATIC"} if is_ip(host) else resolved),
        "connect_timeout": duration(_CONNECT_S),
        "circuit_breakers": UNLIMITED,
        **to_api(host, pool.api.ca),
        "typed_extension_protocol_options": {HTTP_OPTIONS: _http_options(name)},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _http_options(secret: str) -> Json:
    key = extension(
        "envoy.http.injected_credentials.generic",
        "envoy.extensions.http.injected_credentials.generic.v3.Generic",
        credential={"name": secret},
        header_value_prefix="Bearer ",
    )
    injected = extension(
        "envoy.filters.http.credential_injector",
        "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
        overwrite=True,
        credential=key,
    )
    return message(
        HTTP_OPTIONS,
        common_http_protocol_options={"idle_timeout": duration(_IDLE_S), "max_response_headers_kb": ROOMY_HEADERS_KB},
        auto_config={"http_protocol_options": {}, "http2_protocol_options": {}},
        http_filters=[_stripped(), injected, upstream_codec()],
    )
