"""What Envoy tells the gateway's workers by access log: how requests ended, and which engines failed an attempt.

Lives here: which entries go to which worker, and how soon.  Not here: what is read from them
(gateway.accounting.access_log).
"""

from gateway.config.settings import Settings
from gateway.envoy.clusters import PROCESSOR, worker_cluster
from gateway.envoy.messages import Json, duration, extension
from gateway.envoy.names import EXCHANGE_KEY, EXCHANGE_NAMESPACE

_FLUSH_S = 0.05
"""Entries are sent in batches at least this often; limits are settled by them."""
_FAILURE_FLUSH_S = 0.005
"""The same for failures, which are rare: until then the engine gets more requests."""
_BUFFER_BYTES = 256 * 1024
"""Some 200 entries: below 4,000 requests a second the interval alone decides (Envoy's 16 KiB are full after 14)."""
_FAILURES = ["UF", "UC", "UR"]
"""Response flags of an attempt: no connection, a connection that ended, a stream that was reset."""


def usage_logs(settings: Settings) -> list[Json]:
    """How each request ended.  One logger per worker, because only the worker that holds the exchange can settle it."""
    workers = range(len(settings.listen.workers))
    if not workers:
        return [_usage_log(PROCESSOR, {"present_match": True})]
    return [_usage_log(worker_cluster(i), {"string_match": {"prefix": f"{i}-"}}) for i in workers]


def failure_logs(settings: Settings) -> list[Json]:
    """Each attempt that an engine failed, at once and to every worker, though a retry may be answered for long yet."""
    workers = [worker_cluster(i) for i in range(len(settings.listen.workers))]
    chosen = {"response_flag_filter": {"flags": _FAILURES}}
    return [_log(cluster, "failures", _FAILURE_FLUSH_S, chosen) for cluster in workers or [PROCESSOR]]


def _usage_log(cluster: str, value: Json) -> Json:
    matcher = {"filter": EXCHANGE_NAMESPACE, "path": [{"key": EXCHANGE_KEY}], "value": value}
    return _log(cluster, "usage", _FLUSH_S, {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": False}})


def _log(cluster: str, name: str, flush_s: float, chosen: Json) -> Json:
    log = extension(
        "envoy.access_loggers.http_grpc",
        "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
        common_config={
            "log_name": name,
            "transport_api_version": "V3",
            "buffer_flush_interval": duration(flush_s),
            "buffer_size_bytes": _BUFFER_BYTES,
            "grpc_service": {"envoy_grpc": {"cluster_name": cluster}},
        },
    )
    return {**log, "filter": chosen}
