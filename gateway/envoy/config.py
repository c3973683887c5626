"""The configuration of the Envoy that users talk to, as one plain dictionary.

Lives here: how the parts make a whole.  Not here: the parts (listener, filters, clusters, endpoints).
"""

from collections.abc import Sequence

from gateway.config.settings import ModelSettings, Settings
from gateway.envoy.clusters import clusters
from gateway.envoy.listener import listener
from gateway.envoy.messages import Json, bind_address


def render(settings: Settings, models: Sequence[ModelSettings] | None = None) -> Json:
    """Envoy's bootstrap for `settings`; `models` instead of `settings.models` when they come from a file of their own.

    The same settings give the same result; it is JSON, so it is YAML.
    """
    fleet = settings.models if models is None else models
    return {
        "node": {"id": "forebay", "cluster": "forebay"},  # Envoy insists on it for endpoints from a file
        "static_resources": {"listeners": [listener(settings)], "clusters": clusters(settings, fleet)},
        "admin": {"address": bind_address(settings.envoy.admin)},
    }


# Not here: the runtime feature `ext_proc_graceful_grpc_close`, which ends exchanges with END_STREAM instead of a reset.
# With it Envoy 1.39.3 dies at the end of an answer that outlived its idle gRPC client: any of more than 50 s beside
# which no other request was sent.
