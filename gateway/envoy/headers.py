"""The headers that nobody outside may set, and those that clients get.

Lives here: the names, and Envoy's header mutations made of them.  Not here: the values (the gateway puts them into
dynamic metadata in the request phase, so that no response phase is needed).
"""

from collections.abc import Mapping

from gateway.config.settings import Settings
from gateway.envoy.messages import Json, extension, set_header
from gateway.envoy.names import (
    DESTINATION,
    FOR_PROXIES,
    MAX_HEADERS,
    MAX_HEADERS_BYTES,
    PODS_NAMESPACE,
    POOLS_NAMESPACE,
    RESPONSE_NAMESPACE,
)
from gateway.openai.control_headers import PICKER_HEADERS
from gateway.openai.limit_headers import LIMIT_HEADERS
from gateway.openai.output_limit import MAX_TOKENS

ROOMY_HEADERS = 10 * MAX_HEADERS
ROOMY_HEADERS_KB = MAX_HEADERS_BYTES // 1024 + 8
"""Envoy's own bounds of headers in either direction, with room for those that the gateway sets, 4 on a request and some
20 on an answer: Envoy counts them too.  In number there is more room, because Envoy resets an HTTP/2 stream with more
headers than that, where the gateway answers 431."""
BY_METADATA = {"target-pod": "%UPSTREAM_METADATA(forebay:pod)%", "x-forebay-pool": "%UPSTREAM_METADATA(forebay:pool)%"}
"""The name and the pool of the pod that answered, of an endpoint that we describe."""
BY_ADDRESS = {
    name: f"%CEL(metadata.filter_metadata['{namespace}'][upstream.address])%"
    for name, namespace in (("target-pod", PODS_NAMESPACE), ("x-forebay-pool", POOLS_NAMESPACE))
}
"""The same where others describe the endpoints; nothing for a pod that the gateway did not name."""
_UNTRUSTED_PREFIXES = (DESTINATION, "target-pod", "x-forebay-")
_REQUEST_ID_HEADERS = ("x-request-id", "request-id")
GATEWAY_HEADERS = ("routing-strategy", "x-session-id", "x-forebay-decision", MAX_TOKENS, *LIMIT_HEADERS)
"""Response headers that the gateway decides; one that is missing in the metadata is not added."""

CLIENT_HEADERS = (
    *_REQUEST_ID_HEADERS,
    *GATEWAY_HEADERS,
    "target-pod",
    "target-pod-ip",
    "x-forebay-pool",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
)
"""Headers that a client may want to read in an answer."""


def removals() -> list[Json]:
    """Return mutations that remove the headers that are trusted in neither direction (docs/contracts.md section 1)."""
    return [{"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in _UNTRUSTED_PREFIXES]


def strip_from_clients() -> Json:
    """Return the mutation that strips a request before anything else sees it, the gateway included.

    It removes `x-envoy-*` as well, with which a client could set its own retries and timeouts, and a password that is
    meant for a proxy, as we are one.
    """
    return extension(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[
            *removals(),
            {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}},
            {"remove": FOR_PROXIES},
        ],
    )


def strip_untrusted() -> Json:
    """Return the filter before engines: they do not learn how they were chosen, and cannot speak as the gateway.

    Nor do they say which pages of other origins may read answers: vLLM allows all unless it is told otherwise.
    """
    steering = [{"remove": name} for name in sorted(PICKER_HEADERS)]
    cors = {"remove_on_match": {"key_matcher": {"prefix": "access-control-"}}}
    return header_filter(request_mutations=[*removals(), *steering], response_mutations=[*removals(), *steering, cors])


def header_filter(**mutations: list[Json]) -> Json:
    """Return the filter that makes these `request_mutations` and `response_mutations`."""
    return extension(
        "envoy.filters.http.header_mutation",
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations=mutations,
    )


def response_headers(settings: Settings, of_pod: Mapping[str, str] = BY_METADATA) -> list[Json]:
    """Return the headers that the route adds: request id, the gateway's own, and the pod that answered in the end."""
    ids = [set_header(name, "%REQ(x-request-id)%") for name in _REQUEST_ID_HEADERS]
    ours = [set_header(name, f"%DYNAMIC_METADATA({RESPONSE_NAMESPACE}:{name})%") for name in GATEWAY_HEADERS]
    pod = [set_header(name, value) for name, value in of_pod.items()]
    if not settings.hide_pod_address:
        pod.append(set_header("target-pod-ip", "%UPSTREAM_REMOTE_ADDRESS%"))
    return [*ids, *ours, *pod]
