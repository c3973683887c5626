"""The configuration of the Envoy that users talk to, as one plain dictionary.

Lives here: how the parts make a whole.  Not here: the parts (listener, filters, clusters, endpoints).
"""

from gateway.config.settings import Settings
from gateway.discovery.description import FleetDescription
from gateway.envoy.clusters import clusters
from gateway.envoy.listener import listener
from gateway.envoy.messages import Json, bind_address


def render(settings: Settings, fleet: FleetDescription) -> Json:
    """Return Envoy's bootstrap for `settings`, with the endpoints of `fleet` unless Envoy reads them from a file.

    The result is plain JSON, so it is YAML too; the same arguments give the same result.
    """
    return {
        "node": {"id": "forebay", "cluster": "forebay"},  # Envoy requires it for endpoints from a file
        "static_resources": {"listeners": [listener(settings)], "clusters": clusters(settings, fleet)},
        "admin": {"address": bind_address(settings.envoy.admin)},
    }


# Not here: the runtime feature `ext_proc_graceful_grpc_close`, which ends exchanges with END_STREAM instead of a reset.
# With it Envoy 1.39.3 dies at the end of an answer that outlived its idle gRPC client: any of more than 50 s beside
# which no other request was sent.
