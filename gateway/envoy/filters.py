"""The HTTP filters: the gateway asked by ext_proc, and usage lifted out of answers.

Lives here: their order and configuration.  Not here: what the gateway answers (gateway.extproc).
"""

from gateway.config.settings import Settings
from gateway.envoy.access_logs import failure_logs
from gateway.envoy.clusters import PROCESSOR
from gateway.envoy.messages import Json, duration, extension
from gateway.envoy.names import (
    EXCHANGE_NAMESPACE,
    LB_NAMESPACE,
    RESPONSE_NAMESPACE,
    UPSTREAM_ADDRESS_ATTRIBUTE,
    USAGE_NAMESPACE,
)

_SPARE_S = 10.0
"""Per ext_proc message, beyond what a request may wait in the gateway: a burst may queue there for seconds."""
_MAX_EVENT_BYTES = 1024 * 1024
"""A larger event of a stream passes unread: tool calls and log probabilities make some of 100 KB."""
_JSON_TYPES = r"application/(.*\+)?json(\s*;.*)?"

_USAGE_PATHS: tuple[tuple[str, ...], ...] = (
    ("usage",),
    ("response", "usage"),  # Responses API: the event response.completed
    ("message", "usage"),  # Anthropic Messages: the event message_start
)
_USAGE_KEYS = ("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens")


def http_filters(settings: Settings) -> list[Json]:
    """In this order: what must see a response before ext_proc does stands after it."""
    usage = [_sse_to_metadata(), _json_to_metadata()] if settings.response_mode == "metadata" else []
    router = extension(
        "envoy.filters.http.router",
        "envoy.extensions.filters.http.router.v3.Router",
        suppress_envoy_headers=True,
        upstream_log=failure_logs(settings),
    )
    return [_ext_proc(settings), *usage, router]


def _ext_proc(settings: Settings) -> Json:
    receives = [RESPONSE_NAMESPACE, LB_NAMESPACE, EXCHANGE_NAMESPACE]
    return extension(
        "envoy.filters.http.ext_proc",
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service={"envoy_grpc": {"cluster_name": PROCESSOR}, "retry_policy": _another_worker()},
        message_timeout=duration(settings.routing.longest_wait_s + _SPARE_S),
        processing_mode=_processing_mode(settings),
        failure_mode_allow=True,  # so answers that run outlive their worker; a request without a decision finds no host
        status_on_error={"code": "ServiceUnavailable"},
        **({"response_attributes": [UPSTREAM_ADDRESS_ATTRIBUTE]} if settings.response_mode == "ext_proc" else {}),
        allow_mode_override=False,
        mutation_rules={"allow_all_routing": True},
        metadata_options={"receiving_namespaces": {"untyped": receives}},
    )


def _another_worker() -> Json:
    """While a worker that died is not yet known to be dead; only before it has said anything."""
    elsewhere = extension(
        "envoy.retry_host_predicates.previous_hosts",
        "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
    )
    return {
        "retry_on": "connect-failure,refused-stream,reset",
        "num_retries": 2,
        "retry_host_predicate": [elsewhere],
        "host_selection_retry_max_attempts": 8,  # draws at random: of two workers one in 256 is the dead one again
    }


def _processing_mode(settings: Settings) -> Json:
    streamed = settings.envoy.body_mode == "full_duplex_streamed"
    seen = settings.response_mode == "ext_proc"
    return {
        "request_header_mode": "SEND",
        "request_body_mode": "FULL_DUPLEX_STREAMED" if streamed else "BUFFERED",
        "request_trailer_mode": "SEND" if streamed else "SKIP",  # Envoy insists on SEND with that body mode
        "response_header_mode": "SEND" if seen else "SKIP",
        "response_body_mode": "STREAMED" if seen else "NONE",
        "response_trailer_mode": "SKIP",
    }


def _sse_to_metadata() -> Json:
    parser = extension(
        "envoy.content_parsers.json",
        "envoy.extensions.content_parsers.json.v3.JsonContentParser",
        rules=[{"rule": rule} for rule in _rules()],
    )
    return extension(
        "envoy.filters.http.sse_to_metadata",
        "envoy.extensions.filters.http.sse_to_metadata.v3.SseToMetadata",
        response_rules={"content_parser": parser, "max_event_size": _MAX_EVENT_BYTES},
    )


def _json_to_metadata() -> Json:
    return extension(
        "envoy.filters.http.json_to_metadata",
        "envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata",
        response_rules={
            "allow_content_types_regex": {"regex": _JSON_TYPES},
            "rules": _rules(),
        },
    )


def _rules() -> list[Json]:
    usage = [_rule((*path, key), key) for path in _USAGE_PATHS for key in _USAGE_KEYS]
    return [*usage, _rule(("error", "code"), "error_code")]


def _rule(path: tuple[str, ...], key: str) -> Json:
    target = {"metadata_namespace": USAGE_NAMESPACE, "key": key, "type": "NUMBER"}
    return {"selectors": [{"key": name} for name in path], "on_present": target}
