"""The listener that users talk to, with its connection manager and its routes.

Lives here: limits, timeouts and retries of a request.  Not here: the answer to GET / (index), filters, clusters,
headers, local replies and access logs, each in its own module.
"""

from gateway.config.settings import Settings
from gateway.envoy.access_logs import usage_logs
from gateway.envoy.apis import unreached_apis
from gateway.envoy.cors import cors_policy
from gateway.envoy.endpoints import ENGINES
from gateway.envoy.filters import http_filters
from gateway.envoy.headers import ROOMY_HEADERS, ROOMY_HEADERS_KB, response_headers, strip_from_clients
from gateway.envoy.index import index_routes
from gateway.envoy.messages import Json, bind_address, duration, extension
from gateway.envoy.names import UNREACHED
from gateway.envoy.replies import local_replies
from gateway.envoy.tls import from_users
from gateway.openai.json_answer import MAX_ANSWER_BYTES

_HEADERS_TIMEOUT_S = 10.0
"""Longest time from the first byte of a request to the end of its headers; it ends connections of slow senders."""
_DEFAULT_HOST = "forebay"
"""The host of requests in HTTP/1.0 that name none; all hosts are served alike."""


def listener(settings: Settings) -> Json:
    """Return the users' listener."""
    return {
        "name": "users",
        "address": bind_address(settings.envoy.listen),
        "per_connection_buffer_limit_bytes": buffer_bytes(settings),
        "filter_chains": [{"filters": [_connection_manager(settings)], **from_users(settings.envoy.tls)}],
    }


def buffer_bytes(settings: Settings) -> int:
    """Return how much of a request or an answer Envoy buffers; a longer request gets 413, a longer answer becomes 500.

    It is twice the body limit, because Envoy stops reading when it refuses: a client that still sends gets a reset and
    never sees the 413.  A body of up to twice the limit is read, and the gateway refuses it.
    """
    return max(2 * settings.body_limit_bytes, MAX_ANSWER_BYTES)


def _connection_manager(settings: Settings) -> Json:
    idle = duration(settings.timeouts.idle_s)
    return extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="users",
        use_remote_address=True,
        generate_request_id=True,
        preserve_external_request_id=True,
        normalize_path=True,
        merge_slashes=True,
        # `org%2Fname` is a model's name in /v1/models/; after this the gateway and engines read the same path.
        path_with_escaped_slashes_action="UNESCAPE_AND_FORWARD",
        http_protocol_options={"accept_http_10": True, "default_host_for_http_10": _DEFAULT_HOST},
        server_header_transformation="PASS_THROUGH",
        stream_idle_timeout=idle,
        max_request_headers_kb=ROOMY_HEADERS_KB,
        common_http_protocol_options={
            "max_headers_count": ROOMY_HEADERS,
            # Many engines' servers take routing_strategy for routing-strategy; no header of ours or OpenAI's has one.
            "headers_with_underscores_action": "DROP_HEADER",
        },
        request_headers_timeout=duration(_HEADERS_TIMEOUT_S),
        early_header_mutation_extensions=[strip_from_clients()],
        local_reply_config=local_replies(settings),
        access_log=usage_logs(settings),
        http_filters=http_filters(settings),
        route_config={"name": "users", "virtual_hosts": [_virtual_host(settings)]},
    )


def _virtual_host(settings: Settings) -> Json:
    everything = {
        "match": {"prefix": "/"},
        "route": to_engines(ENGINES, settings),
        "response_headers_to_add": response_headers(settings),
        **({"response_headers_to_remove": [UNREACHED]} if unreached_apis(settings) else {}),
    }
    return {"name": "users", "domains": ["*"], "routes": [*index_routes(), everything], **cors_policy(settings)}


def to_engines(cluster: str, settings: Settings) -> Json:
    """Return the action of a route to a cluster of engines."""
    return {
        "cluster": cluster,
        "timeout": duration(settings.timeouts.request_s),
        "idle_timeout": duration(settings.timeouts.idle_s),
        "retry_policy": _next_named_endpoint(settings),
    }


def _next_named_endpoint(settings: Settings) -> Json:
    """Return the policy that tries the next named endpoint, unless any of the answer has arrived; a 5xx is an answer.

    It retries on `reset` and not on `reset-before-request`: when an engine closes an idle connection while the next
    request is on its way, that request counts as sent (measured: users get a 503 with `reset-before-request`).
    """
    unreached = unreached_apis(settings)
    return {
        "retry_on": "connect-failure,refused-stream,reset" + (",retriable-headers" if unreached else ""),
        **({"retriable_headers": unreached} if unreached else {}),
        "num_retries": max(1, settings.routing.fallbacks),
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.010s"},
    }
