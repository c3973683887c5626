"""The listener that users talk to: connection manager, the one route, access log.

Lives here: limits, timeouts and retries of a request.  Not here: filters, clusters, header lists, local replies
(the neighbours).
"""

from gateway.envoy.clusters import PROCESSOR, worker_cluster
from gateway.envoy.endpoints import ENGINES
from gateway.envoy.filters import http_filters
from gateway.envoy.headers import response_headers, strip_from_clients
from gateway.envoy.messages import Json, bind_address, duration, extension
from gateway.envoy.replies import local_replies
from gateway.names import EXCHANGE_KEY, EXCHANGE_NAMESPACE
from gateway.settings import Settings

_HEADERS_TIMEOUT_S = 10.0
"""From the first byte of a request to the end of its headers; keeps slow senders from holding connections."""
_ANSWER_BYTES = 16 * 1024 * 1024
"""json_to_metadata holds a whole JSON answer; 6 MB of embeddings are common, a batch of 256 x 4,096 makes 14."""
_LOG_FLUSH_S = 0.05
"""Access-log entries are sent in batches at least this often; limits are settled by them."""
_LOG_BUFFER_BYTES = 256 * 1024
"""Some 200 entries: below 4,000 requests a second the interval alone decides (Envoy's 16 KiB are full after 14)."""


def listener(settings: Settings) -> Json:
    """The users' listener."""
    return {
        "name": "users",
        "address": bind_address(settings.envoy.listen),
        "per_connection_buffer_limit_bytes": _buffer_bytes(settings),
        "filter_chains": [{"filters": [_connection_manager(settings)]}],
    }


def _buffer_bytes(settings: Settings) -> int:
    """What Envoy holds of one request or answer; beyond it a request is 413 and an answer 500.

    Twice the body limit, because Envoy stops reading when it refuses: a client that is still sending then meets a reset
    and never sees the 413.  Up to twice the limit the body arrives, and the gateway refuses it.
    """
    return max(2 * settings.body_limit_bytes, _ANSWER_BYTES)


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
        path_with_escaped_slashes_action="REJECT_REQUEST",
        server_header_transformation="PASS_THROUGH",
        stream_idle_timeout=idle,
        request_headers_timeout=duration(_HEADERS_TIMEOUT_S),
        early_header_mutation_extensions=[strip_from_clients()],
        local_reply_config=local_replies(settings),
        access_log=_access_logs(settings),
        http_filters=http_filters(settings),
        route_config={"name": "users", "virtual_hosts": [_virtual_host(settings)]},
    )


def _virtual_host(settings: Settings) -> Json:
    route = {
        "cluster": ENGINES,
        "timeout": duration(settings.timeouts.request_s),
        "idle_timeout": duration(settings.timeouts.idle_s),
        "retry_policy": _down_the_list(settings),
    }
    everything = {
        "match": {"prefix": "/"},
        "route": route,
        "response_headers_to_add": response_headers(settings),
    }
    return {"name": "users", "domains": ["*"], "routes": [everything]}


def _down_the_list(settings: Settings) -> Json:
    """To the next named endpoint while nothing of the answer has arrived; never on an answer, a 5xx is one.

    `reset` and not `reset-before-request`: an engine that closes an idle connection as the next request is on its way
    has been sent that request already (measured: `reset-before-request` shows users a 503 then).
    """
    return {
        "retry_on": "connect-failure,refused-stream,reset",
        "num_retries": max(1, settings.routing.fallbacks),
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.010s"},
    }


def _access_logs(settings: Settings) -> list[Json]:
    """One logger per worker, because only the worker that holds the exchange can settle it."""
    workers = range(len(settings.listen.workers))
    if not workers:
        return [_access_log(PROCESSOR, {"present_match": True})]
    return [_access_log(worker_cluster(i), {"string_match": {"prefix": f"{i}-"}}) for i in workers]


def _access_log(cluster: str, value: Json) -> Json:
    matcher = {"filter": EXCHANGE_NAMESPACE, "path": [{"key": EXCHANGE_KEY}], "value": value}
    log = extension(
        "envoy.access_loggers.http_grpc",
        "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
        common_config={
            "log_name": "usage",
            "transport_api_version": "V3",
            "buffer_flush_interval": duration(_LOG_FLUSH_S),
            "buffer_size_bytes": _LOG_BUFFER_BYTES,
            "grpc_service": {"envoy_grpc": {"cluster_name": cluster}},
        },
    )
    return {**log, "filter": {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": False}}}
