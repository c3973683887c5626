"""Filters: the pods that may serve a request at all.

Lives here: the rules.  Not here: the choice among the candidates (strategies), caching the results
(gateway.fleet.fleet).
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from routing.types import Endpoint, NoCandidateError, NoCandidateReason, PodView, RouteRequest

Pod = TypeVar("Pod", bound=PodView)


def by_model(pods: Iterable[Pod]) -> dict[str, list[Pod]]:
    """Return the pods by model name, base models and adapters alike; an adapter has the pods that list it.

    They are in the order of their ids, in whichever order discovery found them, so that all replicas have the same.
    """
    serving: dict[str, list[Pod]] = {}
    for pod in sorted(pods, key=lambda pod: pod.endpoint.id):
        for model in pod.endpoint.models:
            serving.setdefault(model, []).append(pod)
    return serving


def routable(pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """Return the pods that are ready and not draining.  Raises NoCandidateError: `not-ready`, when there are none."""
    ready = tuple(pod for pod in pods if pod.endpoint.ready and not pod.endpoint.draining)
    if not ready:
        raise NoCandidateError(NoCandidateReason.NOT_READY)
    return ready


def narrow(pods: Sequence[Pod], request: RouteRequest) -> Sequence[Pod]:
    """Return the pods that match the proxy's subset and the client's selector, in order; `pods` itself without either.

    Raises NoCandidateError: `outside-subset`, `no-match`.
    """
    if request.subset is not None:
        pods = [pod for pod in pods if _inside(pod.endpoint, request.subset)]
        if not pods:
            raise NoCandidateError(NoCandidateReason.OUTSIDE_SUBSET)
    if request.selector is not None:
        pods = [pod for pod in pods if request.selector.matches(pod.endpoint.labels)]
        if not pods:
            raise NoCandidateError(NoCandidateReason.NO_MATCH)
    return pods


def _inside(endpoint: Endpoint, subset: frozenset[str]) -> bool:
    """Whether the subset has the address, with or without its port; IPv6 with or without brackets."""
    if endpoint.address in subset:
        return True
    host = endpoint.address.rpartition(":")[0]
    return host in subset or host.strip("[]") in subset
