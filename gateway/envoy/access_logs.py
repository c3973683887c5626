"""The access logs that Envoy sends to the gateway's workers: how requests ended, and which engines failed an attempt.

Lives here: which entries go to which worker, and how soon.  Not here: what is read from them
(gateway.accounting.access_log).
"""

from gateway.config.settings import Settings
from gateway.envoy.clusters import PROCESSOR, own_workers, worker_cluster
from gateway.envoy.messages import Json, duration, extension
from gateway.envoy.names import COMPRESSION, EXCHANGE_KEY, EXCHANGE_NAMESPACE, RETRY_AFTER

FLUSH_S = 0.05
"""Longest time that an entry waits to be sent in a batch; until then its request's usage is not settled."""
FAILURE_FLUSH_S = 0.005
"""The same for failed attempts, which are rare; until then the engine gets more requests."""
BUFFER_BYTES = 256 * 1024
"""Some 200 entries, so that up to 4,000 requests a second only the time decides (Envoy's 16 KiB are full after 14)."""
_FAILURES = ["UF", "UC", "UR"]
"""Response flags of a failed attempt: no connection (UF), the connection ended (UC), the stream was reset (UR)."""


def usage_logs(settings: Settings) -> list[Json]:
    """Return the logs of ended requests: one for each worker that is known, else one that any of them gets.

    A worker passes on the entries of others, which costs more than getting its own.
    """
    workers = range(len(own_workers(settings)))
    if not workers:
        return [_usage_log(PROCESSOR, {"present_match": True})]
    return [_usage_log(worker_cluster(i), {"string_match": {"prefix": f"{i}-"}}) for i in workers]


def failure_logs(settings: Settings) -> list[Json]:
    """Return the logs of failed attempts, which come at once: a retry may be answered much later.

    Every worker gets them that is known; from any other the replicas hear of them.
    """
    workers = [worker_cluster(i) for i in range(len(own_workers(settings)))]
    chosen = {"response_flag_filter": {"flags": _FAILURES}}
    return [_log(cluster, "failures", FAILURE_FLUSH_S, chosen) for cluster in workers or [PROCESSOR]]


def _usage_log(cluster: str, value: Json) -> Json:
    matcher = {"filter": EXCHANGE_NAMESPACE, "path": [{"key": EXCHANGE_KEY}], "value": value}
    chosen = {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": False}}
    return _log(cluster, "usage", FLUSH_S, chosen, additional_response_headers_to_log=[COMPRESSION, RETRY_AFTER])


def _log(cluster: str, name: str, flush_s: float, chosen: Json, **fields: Json | list[str]) -> Json:
    log = extension(
        "envoy.access_loggers.http_grpc",
        "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
        common_config={
            "log_name": name,
            "transport_api_version": "V3",
            "buffer_flush_interval": duration(flush_s),
            "buffer_size_bytes": BUFFER_BYTES,
            "grpc_service": {"envoy_grpc": {"cluster_name": cluster}},
        },
        **fields,
    )
    return {**log, "filter": chosen}
