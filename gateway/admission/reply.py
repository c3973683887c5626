"""Builds the reply to Envoy about an admitted request: its destination, and headers for the client.

Lives here: their names and values.  Not here: Envoy's messages (gateway.extproc), headers about limits (limit_headers).
"""

from collections.abc import Mapping

from gateway.admission.identity import Identity
from gateway.config.settings import Settings
from gateway.envoy.names import (
    DESTINATION,
    EXCHANGE_KEY,
    EXCHANGE_NAMESPACE,
    FIRST_POD,
    LB_NAMESPACE,
    MAX_REQUEST_ID_CHARACTERS,
    PODS_NAMESPACE,
    POOLS_NAMESPACE,
    RESPONSE_NAMESPACE,
)
from gateway.extproc.events import Routed
from gateway.fleet.fleet import Fleet
from gateway.openai.errors import header_safe
from routing.types import Decision, RouteRequest

UNCOMPRESSED = {"accept-encoding": "identity"}
"""Tells engines, and sidecars before them, not to compress: nothing on the way could read the usage."""


_ALONE = {"x-envoy-max-retries": "0"}
"""Has Envoy pass on why an API does not answer, where nobody else can."""


class Replies:
    """Builds the replies of one worker."""

    def __init__(self, fleet: Fleet, identity: Identity, settings: Settings) -> None:
        self._fleet = fleet
        self._withheld = identity.withheld
        self._hide_pod_address = settings.hide_pod_address
        # On Kubernetes others describe the endpoints to Envoy, which then has no names of pods.
        self._names_pods = settings.kubernetes.enabled and settings.response_mode == "metadata"

    def routed(
        self,
        exchange: Mapping[str, str],
        route: RouteRequest,
        decision: Decision,
        headers: Mapping[str, str],
        limit_headers: Mapping[str, str],
    ) -> Routed:
        """Return the reply.

        `exchange` is what the request carries, `headers` are its own, `limit_headers` tell the client of its limits.
        """
        exchange_id = exchange[EXCHANGE_KEY]
        response = {"routing-strategy": decision.strategy, "x-forebay-decision": decision.reason, **limit_headers}
        if route.session:
            response["x-session-id"] = header_safe(route.session)
        destination = {DESTINATION: decision.destinations, "model": route.model}
        metadata: dict[str, Mapping[str, str]] = {
            LB_NAMESPACE: destination,
            RESPONSE_NAMESPACE: response,
            EXCHANGE_NAMESPACE: exchange,
        }
        if self._names_pods:
            named = (decision.pod, *decision.fallbacks)
            metadata[PODS_NAMESPACE] = {pod.address: pod.name for pod in named}
            if pools := {pod.address: pod.pool for pod in named if pod.pool}:
                metadata[POOLS_NAMESPACE] = pools
        given_id = headers.get("x-request-id", "")
        request_id = given_id[:MAX_REQUEST_ID_CHARACTERS] or exchange_id
        shown = {"x-request-id": request_id, "request-id": request_id, "target-pod": decision.pod.name}
        if decision.pod.pool:
            shown["x-forebay-pool"] = header_safe(decision.pod.pool)
        if not self._hide_pod_address:
            shown["target-pod-ip"] = decision.pod.address
        sent = {**destination, **UNCOMPRESSED}
        if route.search:
            sent |= _search(decision)
        elif decision.pod.is_api and not decision.fallbacks:
            sent |= _ALONE
        if len(given_id) > MAX_REQUEST_ID_CHARACTERS:
            sent["x-request-id"] = request_id
        return Routed(exchange_id, sent, shown, metadata, self._fleet.names, self._withheld, self._fleet.pools.names)


def by_address(reply: Routed, decision: Decision) -> Routed:
    """Return the reply with the pod's address for an Envoy that came to know the pod after the request."""
    destination = {**reply.metadata[LB_NAMESPACE], FIRST_POD: decision.pod.address}
    return reply._replace(metadata={**reply.metadata, LB_NAMESPACE: destination})


def _search(decision: Decision) -> dict[str, str]:
    """Return request headers by which Envoy asks the next pod when one answers 404; it passes none of them on."""
    if not decision.fallbacks:
        return {}
    return {
        "x-envoy-retry-on": "retriable-status-codes",
        "x-envoy-retriable-status-codes": "404",
        "x-envoy-max-retries": str(len(decision.fallbacks)),
    }
