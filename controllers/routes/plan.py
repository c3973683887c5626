"""The objects that there should be, of all workloads and routes that there are, and what is wrong with them.

Lives here: the sets, without I/O.  Not here: what one workload asks for (workloads), what is in the objects (objects),
the way there (controller).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from controllers.owned import MANAGED_BY, US, Owned, Wanted, id_of
from controllers.problems import Problem
from controllers.routes.names import RESERVED, grant_name, route_name
from controllers.routes.objects import (
    ALL_MATCHES,
    BACKENDS,
    FILTERS,
    GRANTS,
    MATCHES,
    ROUTES,
    Home,
    ModelRoute,
    Route,
    filter_spec,
    grant_spec,
    is_model_route,
    namespaces_of,
    reserved_spec,
    route_spec,
    shortest_prefixes,
    verdicts,
)
from controllers.routes.workloads import Claim, seconds
from kube.events import About
from kube.objects import Key

PATIENCE_S = 5.0
"""How long a Gateway may refuse a route before that is told (chosen): a Service often comes just after its workload."""


class Rules(NamedTuple):
    """The part of every route that no workload asks for."""

    home: Home
    paths: tuple[str, ...]  # prefixes of what an engine is sent, none of them of another one
    timeout: str
    matches: int = MATCHES  # of a rule, at most


class Found(NamedTuple):
    """The objects that there are, by `namespace/name`; filters are None where their kind is not installed."""

    routes: Mapping[Key, Route]
    grants: Mapping[Key, Owned]
    filters: Mapping[Key, Owned] | None

    def of(self, id_: Key) -> Owned | None:
        """Return the object with this id."""
        kind, _, key = id_.partition("/")
        return {ROUTES.name: self.routes, GRANTS.name: self.grants, FILTERS.name: self.filters or {}}[kind].get(key)


class Plan(NamedTuple):
    """The objects that there should be, by their ids, who asks for each, and the problems."""

    wanted: Mapping[Key, Wanted]
    askers: Mapping[Key, Sequence[Claim]]
    problems: Sequence[Problem]


def plan(rules: Rules, claims: Sequence[Claim], found: Found) -> Plan:
    """Return what there should be, and what is wrong."""
    home = rules.home
    by_name, homonyms = _by_name(claims)
    routes = {name: _route(rules, own) for name, own in by_name.items()}
    by_space = defaultdict(list)
    for claim in (claim for own in by_name.values() for claim in own):
        by_space[claim.backend.namespace].append(claim)
    by_hand = {key: route for key, route in found.routes.items() if not route.is_ours and is_model_route(home, route)}
    spaces = {space for route in by_hand.values() for space in namespaces_of(route)} | by_space.keys()
    wanted = [
        *(
            Wanted(ROUTES, home.namespace, name, route_spec(home, route, rules.matches))
            for name, (route, _) in routes.items()
        ),
        *(
            Wanted(GRANTS, space, grant_name(home.namespace, space), grant_spec(home))
            for space in spaces - {home.namespace}
        ),
        Wanted(ROUTES, home.namespace, RESERVED, reserved_spec(home, has_filter=found.filters is not None)),
    ]
    if found.filters is not None:
        wanted.append(Wanted(FILTERS, home.namespace, RESERVED, filter_spec()))
    problems = [problem for claim in claims for problem in claim.problems] + homonyms
    for name, own in by_name.items():
        problems += routes[name][1]
        problems += _of_route(home, found.routes.get(f"{home.namespace}/{name}"), [claim.about for claim in own])
    for space, own in by_space.items():
        problems += _of_grant(found.grants.get(f"{space}/{grant_name(home.namespace, space)}"), own)
    if reserved := found.routes.get(f"{home.namespace}/{RESERVED}"):
        problems += _of_route(home, reserved, [About(ROUTES, reserved.metadata)])
    askers = {one.id: by_name.get(one.name) or by_space.get(one.namespace) or [] for one in wanted}
    return Plan({one.id: one for one in wanted}, askers, problems)


def ours(found: Found, home: Home) -> set[Key]:
    """Return the ids of the objects that this controller has made."""
    routes = {id_of(ROUTES, key) for key, route in found.routes.items() if route.is_ours}
    filters = {id_of(FILTERS, key) for key, one in (found.filters or {}).items() if one.is_ours}
    grants = {
        id_of(GRANTS, key)
        for key, one in found.grants.items()
        if one.is_ours and one.metadata.name == grant_name(home.namespace, one.metadata.namespace)
    }
    return routes | filters | grants


def _by_name(claims: Iterable[Claim]) -> tuple[dict[str, list[Claim]], list[Problem]]:
    """Return the claims by the name of their route, and those whose route's name another model has."""
    by_name: dict[str, list[Claim]] = {}
    problems = []
    for claim in sorted((claim for claim in claims if claim.model), key=_age):
        own = by_name.setdefault(route_name(claim.model), [])
        if own and own[0].model != claim.model:
            note = f"model {claim.model!r} has no route, because {own[0].model!r} has one of the same name"
            problems.append(Problem(claim.about, "RouteNameTaken", note))
        else:
            own.append(claim)
    return by_name, problems


def _age(claim: Claim) -> tuple[str, Key]:
    return claim.about.metadata.creation_timestamp or "", claim.about.metadata.key


def _route(rules: Rules, claims: Sequence[Claim]) -> tuple[ModelRoute, list[Problem]]:
    """Return the route that the claims of one model make together, and what of it is too much."""
    backends = sorted({claim.backend for claim in claims})
    timeout = max((claim.timeout or rules.timeout for claim in claims), key=seconds)
    paths, more = rules.paths, sorted({path for claim in claims for path in claim.paths})
    if more:
        paths = shortest_prefixes((*rules.paths, *more))
    route = ModelRoute(claims[0].model, tuple(backends[:BACKENDS]), paths[:ALL_MATCHES], timeout)
    figures = ("TooManyPaths", len(paths), ALL_MATCHES), ("TooManyServices", len(backends), BACKENDS)
    return route, [
        Problem(claim.about, reason, f"the route of {route.model!r} has the first {most} of {number}")
        for reason, number, most in figures
        if number > most
        for claim in claims
    ]


def _of_route(home: Home, route: Route | None, askers: Iterable[About]) -> Iterator[Problem]:
    """Yield what those who ask for a route should know of it."""
    if route is not None and route.is_ours:
        for about in askers:
            yield from _refused(home, route, about)
    elif route is not None:
        for about in askers:
            yield _left_alone(about, "RouteNotOurs", f"HTTPRoute {route.metadata.key}")


def _of_grant(grant: Owned | None, claims: Iterable[Claim]) -> Iterator[Problem]:
    if grant is not None and not grant.is_ours:
        for claim in claims:
            yield _left_alone(claim.about, "GrantNotOurs", f"ReferenceGrant {grant.metadata.key}")


def _left_alone(about: About, reason: str, what: str) -> Problem:
    return Problem(about, reason, f"{what} is left alone: it has no label {MANAGED_BY}={US}", is_warning=False)


def _refused(home: Home, route: Route, about: About) -> Iterator[Problem]:
    for verdict in verdicts(home, route).values():
        if verdict.status == "False":
            note = f"HTTPRoute {route.metadata.key}: {verdict.type} is False, {verdict.reason}: {verdict.message}"
            yield Problem(about, f"Route{verdict.reason}", note, patience_s=PATIENCE_S)
