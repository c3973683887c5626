"""The HTTP filters of the Envoy configuration: ext_proc, which asks the gateway, and those that read usage in answers.

Lives here: their order and configuration.  Not here: what the gateway answers (gateway.extproc).
"""

from collections.abc import Mapping
from typing import TypeAlias

from gateway.config.settings import Settings
from gateway.envoy.access_logs import failure_logs
from gateway.envoy.clusters import PROCESSOR
from gateway.envoy.cors import cors_filters
from gateway.envoy.messages import Json, duration, extension
from gateway.envoy.names import (
    ERROR_NAMESPACE,
    EXCHANGE_NAMESPACE,
    JSON_TYPES,
    LB_NAMESPACE,
    PODS_NAMESPACE,
    POOLS_NAMESPACE,
    RESPONSE_NAMESPACE,
    UPSTREAM_ADDRESS_ATTRIBUTE,
    USAGE_NAMESPACE,
)
from gateway.openai.usage import CACHE_READ, CACHE_WRITTEN, CACHED

_SPARE_S = 10.0
"""Seconds that the gateway may take beyond the time that a request may wait there: bursts queue for seconds."""
_MAX_EVENT_BYTES = 1024 * 1024
"""Larger events of a stream are not searched for usage; tool calls and log probabilities make events of 100 KB."""
MUTATION_RULES: Json = {"allow_all_routing": True, "allow_envoy": True}
"""The headers that the gateway may set, in addition to ordinary ones: `x-envoy-*` say when another pod is asked."""
RECEIVED_NAMESPACES = [RESPONSE_NAMESPACE, LB_NAMESPACE, EXCHANGE_NAMESPACE, PODS_NAMESPACE, POOLS_NAMESPACE]
"""The dynamic metadata that the gateway may set."""
Path: TypeAlias = tuple[str, ...]

_USAGE_MEMBERS: Mapping[Path, tuple[str, ...]] = {
    ("usage",): (
        "prompt_tokens", "completion_tokens", "total_tokens",
        "input_tokens", "output_tokens", CACHE_READ, CACHE_WRITTEN,
    ),
    ("usage", "prompt_tokens_details"): (CACHED,),
    ("usage", "input_tokens_details"): (CACHED,),
    ("response", "usage"): ("input_tokens", "output_tokens", "total_tokens"),  # Responses: its last event
    ("response", "usage", "input_tokens_details"): (CACHED,),
    # Anthropic Messages: the event message_start
    ("message", "usage"): ("input_tokens", "output_tokens", CACHE_READ, CACHE_WRITTEN),
}  # fmt: skip
"""The engine's own counts.  A client's text, metadata and tools are echoed in strings or deeper, not at these paths."""
_ERROR_IN_JSON: tuple[Path, ...] = (("error",), ("error", "code"), ("error", "type"))
_ERROR_IN_EVENT: tuple[Path, ...] = (
    ("error",),  # an object arrives as text
    ("response", "error"),
    ("response", "status"),
    ("message",),  # where it is a text: `message_start` has an object
    ("code",),
)
"""The members by which an error under status 200 is found (gateway.openai.engine_errors).  Each of one name costs Envoy
about 1 us per event in which it is missing, so that `type` and `detail` are left out."""


def http_filters(settings: Settings) -> list[Json]:
    """Return the filters in their order: a response passes them backwards, so usage is read before ext_proc sees it."""
    router = extension(
        "envoy.filters.http.router",
        "envoy.extensions.filters.http.router.v3.Router",
        suppress_envoy_headers=True,
        upstream_log=failure_logs(settings),
    )
    return [*cors_filters(settings), _ext_proc(settings), *usage_filters(settings), router]


def usage_filters(settings: Settings) -> list[Json]:
    """Return the filters that read usage and errors in answers, where no answer passes through the gateway."""
    return [_sse_to_metadata(), _json_to_metadata()] if settings.response_mode == "metadata" else []


def _ext_proc(settings: Settings) -> Json:
    sees_answers = settings.response_mode == "ext_proc"
    fields = {
        "processing_mode": _processing_mode(settings),
        "mutation_rules": MUTATION_RULES,
        "metadata_options": {"receiving_namespaces": {"untyped": RECEIVED_NAMESPACES}},
        **({"response_attributes": [UPSTREAM_ADDRESS_ATTRIBUTE]} if sees_answers else {}),
    }
    return asking_gateway(settings, fields)


def asking_gateway(settings: Settings, fields: Json) -> Json:
    """Return ext_proc with these fields, and with those that say how the gateway is asked."""
    longest_wait_s = max(settings.routing.longest_wait_s, settings.scale_from_zero.longest_wait_s)
    return extension(
        "envoy.filters.http.ext_proc",
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service={"envoy_grpc": {"cluster_name": PROCESSOR}, "retry_policy": another_worker()},
        message_timeout=duration(longest_wait_s + _SPARE_S),
        failure_mode_allow=True,  # so that answers outlive their worker; a request without a decision finds no host
        status_on_error={"code": "ServiceUnavailable"},
        allow_mode_override=False,
        **fields,
    )


def another_worker() -> Json:
    """Return the retry policy for a worker that just died: ask another one, if this one has sent nothing yet."""
    elsewhere = extension(
        "envoy.retry_host_predicates.previous_hosts",
        "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
    )
    return {
        "retry_on": "connect-failure,refused-stream,reset",
        "num_retries": 2,
        "retry_host_predicate": [elsewhere],
        "host_selection_retry_max_attempts": 8,  # at random; of two, all 8 draws are the dead one once in 256 times
    }


def _processing_mode(settings: Settings) -> Json:
    streamed = settings.envoy.body_mode == "full_duplex_streamed"
    seen = settings.response_mode == "ext_proc"
    return {
        "request_header_mode": "SEND",
        "request_body_mode": "FULL_DUPLEX_STREAMED" if streamed else "BUFFERED",
        "request_trailer_mode": "SEND" if streamed else "SKIP",  # Envoy requires SEND with that body mode
        "response_header_mode": "SEND" if seen else "SKIP",
        "response_body_mode": "STREAMED" if seen else "NONE",
        "response_trailer_mode": "SKIP",
    }


def _sse_to_metadata() -> Json:
    rules = [*_usage_rules(), *map(_error_rule, _ERROR_IN_EVENT)]
    parser = extension(
        "envoy.content_parsers.json",
        "envoy.extensions.content_parsers.json.v3.JsonContentParser",
        rules=[{"rule": rule} for rule in rules],
    )
    return extension(
        "envoy.filters.http.sse_to_metadata",
        "envoy.extensions.filters.http.sse_to_metadata.v3.SseToMetadata",
        response_rules={"content_parser": parser, "max_event_size": _MAX_EVENT_BYTES},
    )


def _json_to_metadata() -> Json:
    is_object = _rule(("error", "message"), {"metadata_namespace": ERROR_NAMESPACE, "key": "error", "value": True})
    return extension(
        "envoy.filters.http.json_to_metadata",
        "envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata",
        response_rules={
            "allow_content_types_regex": {"regex": rf"(?i){JSON_TYPES}(\s*;.*)?"},
            "allow_empty_content_type": True,
            "rules": [*_usage_rules(), is_object, *map(_error_rule, _ERROR_IN_JSON)],
        },
    )


def _usage_rules() -> list[Json]:
    return [
        _rule((*path, key), {"metadata_namespace": USAGE_NAMESPACE, "key": key, "type": "NUMBER"})
        for path, keys in _USAGE_MEMBERS.items()
        for key in keys
    ]


def _error_rule(path: Path) -> Json:
    return _rule(path, {"metadata_namespace": ERROR_NAMESPACE, "key": ".".join(path), "type": "PROTOBUF_VALUE"})


def _rule(path: Path, target: Json) -> Json:
    return {"selectors": [{"key": name} for name in path], "on_present": target}
