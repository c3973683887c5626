"""The way to a pod that Envoy does not know yet: by its address alone, for requests that waited for a first pod.

Lives here: the route and the cluster.  Not here: which requests waited (gateway.admission.queue), the filters before
engines and the policy of retries, which are those of all engines (clusters, listener).

A request keeps the routes that there were when it came.  Envoy Gateway writes a 503 into the route of a model without
pods, so that no cluster of the model can serve a request that waited.  This route is found by metadata, which only the
gateway sets, and not by a header; and the address is read there, too.
"""

from gateway.config.settings import Settings
from gateway.envoy.clusters import engine_cluster, engine_filters
from gateway.envoy.listener import to_engines
from gateway.envoy.messages import Json, extension
from gateway.envoy.names import DESTINATION, FIRST_POD, LB_NAMESPACE

CLUSTER = "first-pods"

_NEXT = f"""\
function envoy_on_request(request)
  local metadata = request:streamInfo():dynamicMetadata()
  local left = string.match(metadata:get("{LB_NAMESPACE}")["{DESTINATION}"], ",(.+)")
  if left then
    metadata:set("{LB_NAMESPACE}", "{DESTINATION}", left)
    metadata:set("{LB_NAMESPACE}", "{FIRST_POD}", string.match(left, "[^,]+"))
  end
end
"""
"""Runs before each try, whose address is chosen by then: it names the next pod, for the case that this one fails."""


def route(settings: Settings) -> Json:
    """Return the route, to be tried before all others."""
    waited = {"filter": LB_NAMESPACE, "path": [{"key": FIRST_POD}], "value": {"present_match": True}}
    return {"match": {"prefix": "/", "dynamic_metadata": [waited]}, "route": to_engines(CLUSTER, settings)}


def cluster(settings: Settings) -> Json:
    """Return its cluster, whose endpoints are whatever the gateway names."""
    lua = "envoy.extensions.filters.http.lua.v3.Lua"
    next_pod = extension("envoy.filters.http.lua", lua, default_source_code={"inline_string": _NEXT})
    return {
        **engine_cluster(CLUSTER, settings, [next_pod, *engine_filters()]),
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "original_dst_lb_config": {"metadata_key": {"key": LB_NAMESPACE, "path": [{"key": FIRST_POD}]}},
    }
