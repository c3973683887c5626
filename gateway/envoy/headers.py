"""Header names that nobody outside may set, and the ones that clients are to see.

Lives here: the lists and the Envoy mutations made of them.  Not here: their values (the gateway puts them into dynamic
metadata in the request phase, so that no response phase is needed).
"""

from gateway.admission.limit_headers import LIMIT_HEADERS
from gateway.config.settings import Settings
from gateway.envoy.messages import Json, extension, set_header
from gateway.envoy.names import DESTINATION, RESPONSE_NAMESPACE

POD_METADATA = "%UPSTREAM_METADATA(forebay:pod)%"
_UNTRUSTED_NAMES = (DESTINATION,)
_UNTRUSTED_PREFIXES = ("target-pod", "x-forebay-")
_REQUEST_ID_HEADERS = ("x-request-id", "request-id")
GATEWAY_HEADERS = ("routing-strategy", "x-session-id", "x-forebay-decision", *LIMIT_HEADERS)
"""Response headers that the gateway decides; a key that is missing from the metadata adds none."""


def removals() -> list[Json]:
    """Mutations that remove what contracts section 1 calls never trusted, in either direction."""
    return [
        *({"remove": name} for name in _UNTRUSTED_NAMES),
        *({"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in _UNTRUSTED_PREFIXES),
    ]


def strip_from_clients() -> Json:
    """Before anything else sees the request, the gateway included.

    `x-envoy-*` too: with it a client would set retries and timeouts of its own.
    """
    return extension(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[*removals(), {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}}],
    )


def strip_untrusted() -> Json:
    """Between router and engine: the engine is not told how it was chosen, and cannot speak in the gateway's name."""
    return extension(
        "envoy.filters.http.header_mutation",
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"request_mutations": removals(), "response_mutations": removals()},
    )


def response_headers(settings: Settings) -> list[Json]:
    """What the route adds: the request's id, the gateway's words, and the pod that answered, after retries too."""
    ids = [set_header(name, "%REQ(x-request-id)%") for name in _REQUEST_ID_HEADERS]
    ours = [set_header(name, f"%DYNAMIC_METADATA({RESPONSE_NAMESPACE}:{name})%") for name in GATEWAY_HEADERS]
    pod = [set_header("target-pod", POD_METADATA)]
    if not settings.hide_pod_address:
        pod.append(set_header("target-pod-ip", "%UPSTREAM_REMOTE_ADDRESS%"))
    return [*ids, *ours, *pod]
