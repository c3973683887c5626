"""The objects of the Gateway API that are made and read: routes, grants, and the answer of Envoy Gateway's own kind.

Lives here: their kinds and specs, without I/O.  Not here: which there should be (plan).  Specs are written with the
values that the server would fill in, so that a spec that is as it should be is equal to what is read.  Gateway API
v1.6.1, HTTPRouteRule: "16 rules and 64 matches per rule are allowed, the total number of matches across all rules in a
route must be less than 128"; before v1.2 it was 8 matches per rule.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import orjson

from controllers.owned import Owned, Spec
from controllers.routes.names import RESERVED
from controllers.routes.workloads import Backend
from kube.conditions import Condition
from kube.errors import ApiError
from kube.objects import Kind

GROUP, FILTER_GROUP = "gateway.networking.k8s.io", "gateway.envoyproxy.io"
MODEL_HEADER = "model"
MATCHES, FEWER_MATCHES, ALL_MATCHES = 64, 8, 128
"""The most matches of a rule, the same in older versions, and the most of a route; 16 rules of 8 are as many."""
VERDICTS = ("Accepted", "ResolvedRefs")
"""The conditions that are False where a Gateway refuses a route, or something that it names is not there."""
BACKENDS = 16
"""The most backends of a rule."""

NO_ROUTE = {"message": "the model has no route yet", "type": "api_error", "code": "service_unavailable", "param": None}
"""The error that a request ends with that was admitted and whose model has no route: it has just come or just gone."""
NO_ROUTE_HEADERS = {"retry-after": "1", "x-error-no-model-backends": "true"}

REMEMBERED = 4096
"""Specs of routes that are not made again while their model asks for the same (chosen): 30 MB."""


class ParentReference(msgspec.Struct, frozen=True):
    """The Gateway that a status is about."""

    name: str = ""


class ParentStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The verdict of one Gateway's controller on a route."""

    parent_ref: ParentReference = ParentReference()
    conditions: tuple[Condition, ...] = ()


class RouteStatus(msgspec.Struct, frozen=True):
    """The verdicts on a route."""

    parents: tuple[ParentStatus, ...] = ()


class Route(Owned, frozen=True):
    """An HTTPRoute."""

    status: RouteStatus = RouteStatus()


ROUTES = Kind(GROUP, "v1", "HTTPRoute", "httproutes", Route)
GRANTS = Kind(GROUP, "v1beta1", "ReferenceGrant", "referencegrants", Owned)
FILTERS = Kind(FILTER_GROUP, "v1alpha1", "HTTPRouteFilter", "httproutefilters", Owned)
KINDS: dict[str, Kind[Any]] = {kind.name: kind for kind in (ROUTES, GRANTS, FILTERS)}
"""The kinds of objects that are made."""


class Home(NamedTuple):
    """The Gateway that routes belong to, and the namespace of both."""

    namespace: str
    gateway: str


class ModelRoute(NamedTuple):
    """The route of a model, as its workloads ask for it."""

    model: str
    backends: tuple[Backend, ...]
    paths: tuple[str, ...]
    timeout: str


@lru_cache(maxsize=REMEMBERED)
def route_spec(home: Home, route: ModelRoute, matches: int = MATCHES) -> Spec:
    """Return the spec of a model's HTTPRoute, with so many matches per rule; the same object for the same route."""
    headers = [{"type": "Exact", "name": MODEL_HEADER, "value": route.model}]
    rules = [
        {
            "matches": [{"path": _path(path), "headers": headers} for path in route.paths[start : start + matches]],
            "backendRefs": [_backend(backend) for backend in route.backends],
            "timeouts": {"request": route.timeout},
        }
        for start in range(0, len(route.paths), matches)
    ]
    return {"parentRefs": [_parent(home)], "rules": rules}


def reserved_spec(home: Home, *, has_filter: bool) -> dict[str, Any]:
    """Return the spec of the HTTPRoute that every request takes until its model is known.

    It matches all paths and is the weakest match, so that a model's route wins once the processor has set the header,
    and has no backend: a request that stays here reaches no engine.
    """
    rule: dict[str, Any] = {"matches": [{"path": _path("/")}]}
    if has_filter:
        reference = {"group": FILTER_GROUP, "kind": FILTERS.name, "name": RESERVED}
        rule["filters"] = [{"type": "ExtensionRef", "extensionRef": reference}]
    return {"parentRefs": [_parent(home)], "rules": [rule]}


def filter_spec() -> dict[str, Any]:
    """Return the spec of the HTTPRouteFilter that answers requests without a route, in OpenAI's shape of errors."""
    headers = [{"name": name, "value": value} for name, value in NO_ROUTE_HEADERS.items()]
    return {
        "directResponse": {
            "statusCode": 503,
            "contentType": "application/json",
            "body": {"type": "Inline", "inline": orjson.dumps({"error": NO_ROUTE}).decode()},
            "header": {"set": headers},
        }
    }


def grant_spec(home: Home) -> dict[str, Any]:
    """Return the spec of a ReferenceGrant: the routes at home may name the Services of the grant's namespace."""
    return {
        "from": [{"group": GROUP, "kind": ROUTES.name, "namespace": home.namespace}],
        "to": [{"group": "", "kind": "Service"}],
    }


def shortest_prefixes(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths without those that another one is a prefix of, each once, in their order."""
    known = dict.fromkeys(paths)
    return tuple(path for path in known if not any(prefix in known for prefix in _parents(path)))


def _parents(path: str) -> Iterator[str]:
    """Yield the proper prefixes of a path, `/` among them."""
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        yield path


def is_model_route(home: Home, route: Route) -> bool:
    """Whether a route at the Gateway matches the header of a model, as one that somebody wrote by hand does."""
    matches = [match for rule in _all(route.spec, "rules") for match in _all(rule, "matches")]
    headers = {header["name"].lower() for match in matches for header in _all(match, "headers")}
    return MODEL_HEADER in headers and home.gateway in {parent["name"] for parent in _all(route.spec, "parentRefs")}


def namespaces_of(route: Route) -> set[str]:
    """Return the other namespaces whose Services the route names."""
    backends = [backend for rule in _all(route.spec, "rules") for backend in _all(rule, "backendRefs")]
    return {backend["namespace"] for backend in backends if "namespace" in backend} - {route.metadata.namespace}


def verdicts(home: Home, route: Route) -> dict[str, Condition]:
    """Return what the Gateway's controller says of the newest spec of the route, of VERDICTS; empty: nothing yet."""
    return {
        condition.type: condition
        for parent in route.status.parents
        for condition in parent.conditions
        if parent.parent_ref.name == home.gateway
        if condition.type in VERDICTS and condition.observed_generation >= route.metadata.generation
    }


def has_too_many_matches(error: ApiError) -> bool:
    """Whether the server refuses a route because a rule of it has too many matches: an older Gateway API."""
    return any(cause.field.endswith(".matches") and cause.field.startswith("spec.rules[") for cause in error.causes)


def _all(member: Any, name: str) -> Sequence[Any]:
    return member.get(name) or ()


def _parent(home: Home) -> dict[str, Any]:
    return {"group": GROUP, "kind": "Gateway", "namespace": home.namespace, "name": home.gateway}


@lru_cache(maxsize=REMEMBERED)
def _path(path: str) -> dict[str, str]:
    return {"type": "PathPrefix", "value": path}


def _backend(backend: Backend) -> dict[str, Any]:
    place = {"namespace": backend.namespace, "name": backend.service, "port": backend.port}
    return {"group": "", "kind": "Service", **place, "weight": 1}
