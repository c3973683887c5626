"""The patches by which the configuration that Envoy Gateway makes of a Gateway becomes ours: EnvoyPatchPolicies.

Lives here: what is patched where.  Not here: the filters, headers and replies themselves (the other modules), and what
Envoy Gateway has fields of its own for (deploy/components/envoy-gateway).

A patch names the listener or the route configuration that it changes, and Envoy Gateway has two schemes of names: by
the Gateway's listener, and, with its runtime flag XDSNameSchemeV2, by protocol and port.  There is a policy for each
scheme; the status of the one that does not apply says ResourceNotFound, and it changes nothing.
"""

from collections.abc import Iterator
from typing import NamedTuple

from gateway.config.settings import Settings
from gateway.envoy import first_pods
from gateway.envoy.access_logs import BUFFER_BYTES, FAILURE_FLUSH_S, FLUSH_S
from gateway.envoy.clusters import engine_filters
from gateway.envoy.filters import MUTATION_RULES, another_worker, usage_filters
from gateway.envoy.headers import BY_ADDRESS, ROOMY_HEADERS, ROOMY_HEADERS_KB, response_headers
from gateway.envoy.messages import Json, duration
from gateway.envoy.replies import local_replies

NAMESPACE, GATEWAY = "aibrix-system", "aibrix-eg"
EXTENSION_POLICY = "aibrix-gateway-plugins"
"""The name of the EnvoyExtensionPolicy that makes Envoy ask the gateway (docs/contracts.md section 8)."""

_TYPES = "type.googleapis.com/envoy.config"
_MANAGER = '$..filters[?(@.name=="envoy.filters.network.http_connection_manager")].typed_config'
_ROUTER = '$..http_filters[?(@.name=="envoy.filters.http.router")]'
_EXT_PROC = f"envoy.filters.http.ext_proc/envoyextensionpolicy/{NAMESPACE}/{EXTENSION_POLICY}/extproc/0"
_LOG = '[?(@.name=="envoy.access_loggers.http_grpc")].typed_config.common_config'


class Listener(NamedTuple):
    """A listener of the Gateway."""

    name: str
    port: int
    is_tls: bool = False

    def schemes(self) -> dict[str, tuple[str, str]]:
        """Return for each scheme, by a suffix for the policy, Envoy's names of the listener and of its routes."""
        name = f"{NAMESPACE}/{GATEWAY}/{self.name}"
        return {"": (name, name), "-by-port": (f"tcp-{self.port}", name if self.is_tls else f"http-{self.port}")}


LISTENERS = {"http": Listener("http", 80), "https": Listener("https", 443, is_tls=True)}
"""The listeners of deploy/, by their names."""


def patch_policies(settings: Settings, listener: Listener) -> list[Json]:
    """Return the EnvoyPatchPolicies of a listener."""
    return [
        {
            "apiVersion": "gateway.envoyproxy.io/v1alpha1",
            "kind": "EnvoyPatchPolicy",
            "metadata": {"name": f"{GATEWAY}-{listener.name}{suffix}", "namespace": NAMESPACE},
            "spec": {
                "type": "JSONPatch",
                "targetRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": GATEWAY},
                "jsonPatches": [
                    *_patches(f"{_TYPES}.cluster.v3.Cluster", first_pods.CLUSTER, _of_clusters(settings)),
                    *_patches(f"{_TYPES}.listener.v3.Listener", listener_name, _of_listener(settings)),
                    *_patches(f"{_TYPES}.route.v3.RouteConfiguration", routes_name, _of_routes(settings)),
                ],
            },
        }
        for suffix, (listener_name, routes_name) in listener.schemes().items()
    ]


def _patches(kind: str, name: str, operations: Iterator[Json]) -> list[Json]:
    return [{"type": kind, "name": name, "operation": {"op": "add", **operation}} for operation in operations]


def _of_listener(settings: Settings) -> Iterator[Json]:
    """Yield the changes to the listener; to add at the place of the router is to insert before it."""
    for usage_filter in usage_filters(settings):
        yield {"jsonPath": _ROUTER, "value": usage_filter}
    yield {"jsonPath": _ROUTER, "path": "typed_config/upstream_http_filters", "value": engine_filters()}
    yield {"jsonPath": _MANAGER, "path": "local_reply_config", "value": local_replies(settings)}
    headers = "common_http_protocol_options/max_headers_count"
    yield {"jsonPath": _MANAGER, "path": headers, "value": ROOMY_HEADERS}
    yield {"jsonPath": _MANAGER, "path": "max_request_headers_kb", "value": ROOMY_HEADERS_KB}
    for place, flush_s in (("access_log", FLUSH_S), ("upstream_log", FAILURE_FLUSH_S)):
        log = f"$..{place}{_LOG}"
        yield {"jsonPath": log, "path": "buffer_flush_interval", "value": duration(flush_s)}
        yield {"jsonPath": log, "path": "buffer_size_bytes", "value": BUFFER_BYTES}
    ext_proc = f'$..http_filters[?(@.name=="{_EXT_PROC}")].typed_config'
    yield {"jsonPath": ext_proc, "path": "mutation_rules", "value": MUTATION_RULES}  # there once there is a route
    yield {"jsonPath": ext_proc, "path": "grpc_service/retry_policy", "value": another_worker()}


def _of_clusters(settings: Settings) -> Iterator[Json]:
    """Yield the cluster of our own.  All policies add the same one, because any of them may be the only one."""
    yield {"path": "", "value": first_pods.cluster(settings)}


def _of_routes(settings: Settings) -> Iterator[Json]:
    yield {"jsonPath": "$.virtual_hosts[*]", "path": "routes/0", "value": first_pods.route(settings)}
    yield {"path": "/response_headers_to_add", "value": response_headers(settings, BY_ADDRESS)}
