"""The way of requests to a rendered model server through the Gateway in deploy/: by its host, and by the model's name.

Lives here: routes and the grant that they need.  Not here: routes that the controller makes (controllers.routes), as it
does for a Deployment; KServe's Services listen on a port of their own, so that its route is written here.
"""

import re
from typing import Any

from forebay.rendering.asked import Asked
from gateway.envoy.patches import GATEWAY, NAMESPACE

Json = dict[str, Any]

_KSERVE_PORT = 80
"""The port of a predictor's Service (KServe, RawDeployment)."""
_OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,240}[a-z0-9])?")
_API = "gateway.networking.k8s.io"
TIMEOUT = "3600s"


def routes(asked: Asked) -> list[Json]:
    """Return the routes, and the grant that lets them lead into the server's namespace."""
    by_host = _route(asked, f"{asked.name}-host", {}, hostnames=[asked.host])
    found = [by_host]
    if asked.engine == "kserve" and _OBJECT_NAME.fullmatch(asked.model):
        named = {"headers": [{"type": "Exact", "name": "model", "value": asked.model}]}
        found.append(_route(asked, f"{asked.model}-router", named))
    return [*found, _grant(asked)]


def _route(asked: Asked, name: str, match: Json, **spec: list[str]) -> Json:
    port = _KSERVE_PORT if asked.engine == "kserve" else asked.port
    backend = {"name": asked.workload, "namespace": asked.namespace, "port": port}
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/v1"}, **match}],
        "backendRefs": [backend],
        "timeouts": {"request": TIMEOUT},
    }
    return {
        "apiVersion": f"{_API}/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"parentRefs": [{"name": GATEWAY}], **spec, "rules": [rule]},
    }


def _grant(asked: Asked) -> Json:
    return {
        "apiVersion": f"{_API}/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {"name": f"{asked.name}-routes", "namespace": asked.namespace},
        "spec": {
            "from": [{"group": _API, "kind": "HTTPRoute", "namespace": NAMESPACE}],
            "to": [{"group": "", "kind": "Service", "name": asked.workload}],
        },
    }
