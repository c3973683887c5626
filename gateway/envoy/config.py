"""The configuration of the Envoy that users talk to, as one plain dictionary.

Lives here: the whole.  Not here: its parts (listener, filters, clusters, endpoints, apis, overload).
"""

from gateway.config.settings import Settings
from gateway.discovery.description import FleetDescription
from gateway.envoy.apis import api_clusters, api_listeners, api_secrets, bootstrap_of_apis
from gateway.envoy.clusters import clusters
from gateway.envoy.listener import listener
from gateway.envoy.messages import Json, bind_address
from gateway.envoy.overload import overload_manager


def render(settings: Settings, fleet: FleetDescription) -> Json:
    """Return Envoy's bootstrap for `settings`, with the endpoints of `fleet` unless Envoy reads them from a file.

    The result is plain JSON, so it is YAML too; the same arguments give the same result.
    """
    return {
        "node": {"id": "forebay", "cluster": "forebay"},  # Envoy requires it for endpoints from a file
        "static_resources": {
            "listeners": [listener(settings), *api_listeners(settings)],
            "clusters": [*clusters(settings, fleet), *api_clusters(settings)],
            **api_secrets(settings),
        },
        **bootstrap_of_apis(settings),
        "overload_manager": overload_manager(settings),
        "admin": {"address": bind_address(settings.envoy.admin)},
    }


# The runtime feature `ext_proc_graceful_grpc_close` stays off, which ends exchanges with END_STREAM instead of a reset:
# with it Envoy 1.39.3 crashes at the end of an answer of more than 50 s during which no other request was sent, because
# by then its idle gRPC client is gone.
