"""The pods that have adapters, and those that should, at one look, without I/O.

Lives here: what follows from pods and records.  Not here: the choice among pods (routing.placement), calls (engines).
Only pods with `adapters: auto` count: of others nobody would learn what they have loaded.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from gateway.adapters.engines import PATHS
from gateway.adapters.records import State, Wanted
from gateway.fleet.pod import Pod, PodState
from routing.placement import Ask, Host, Policy, Rng, place, policy_of
from routing.types import PodId


class Adapter(NamedTuple):
    """An adapter that engines list, or that was asked for."""

    name: str
    model: str
    pods: tuple[str, ...]  # the names of those that have it, sorted


class Wish(NamedTuple):
    """The pods of an adapter."""

    placed: tuple[PodId, ...] = ()  # that should have it
    lacking: tuple[PodId, ...] = ()  # of these, those that do not list it
    surplus: tuple[PodId, ...] = ()  # that list it and should not, once no other lacks it


class Pods:
    """The pods of a fleet."""

    def __init__(self, pods: Iterable[Pod]) -> None:
        every = [pod for pod in pods if not pod.gone]
        self.bases = {pod.endpoint.models[0] for pod in every}
        self.listing = {
            pod.endpoint.id: pod for pod in every if pod.endpoint.lists_adapters and pod.endpoint.engine in PATHS
        }

    def of_model(self, model: str) -> list[Pod]:
        """Return those that serve a base model."""
        return [pod for pod in self.listing.values() if pod.endpoint.models[0] == model]

    def having(self, name: str) -> list[PodId]:
        """Return those that list an adapter."""
        return [pod for pod, one in self.listing.items() if name in self._adapters_of(one)]

    def adapters(self, wanted: Mapping[str, Wanted]) -> list[Adapter]:
        """Return all adapters, by name."""
        found = {name: (one.model, list[str]()) for name, one in wanted.items()}
        for pod, name in self._listed():
            found.setdefault(name, (pod.endpoint.models[0], []))[1].append(pod.endpoint.name)
        return [Adapter(name, model, tuple(sorted(pods))) for name, (model, pods) in sorted(found.items())]

    def wishes(
        self,
        wanted: Mapping[str, Wanted],
        states: Mapping[str, State],
        failing: Collection[tuple[str, PodId]],
        rng: Rng,
    ) -> dict[str, Wish]:
        """Return the pods of everything that is wanted, placed in one look.

        An adapter that is on its way to a pod, as its state says, goes on there, unless that is `failing`.
        """
        asks = [self._ask(one, states.get(name), failing) for name, one in sorted(wanted.items())]
        others = {name for _, name in self._listed()} - wanted.keys()
        asks += [Ask(name, len(pods), pods, pods) for name in sorted(others) if (pods := self.having(name))]
        hosts = [Host(pod, one.adapters.slots) for pod, one in self.listing.items()]
        placed = place(asks, hosts, rng)
        return {name: self._wish(name, placed[name]) for name in wanted}

    def _ask(self, one: Wanted, state: State | None, failing: Collection[tuple[str, PodId]]) -> Ask:
        ready = [pod.endpoint.id for pod in self.of_model(one.model) if pod.state is PodState.READY]
        willing = [pod for pod in ready if (one.name, pod) not in failing]
        coming = state.pods if state else ()
        loaded = tuple(dict.fromkeys((*coming, *self.having(one.name))))
        policy = policy_of(one.policy) or Policy.LEAST_ADAPTERS
        return Ask(one.name, one.replicas, willing or ready, loaded, policy)

    def _wish(self, name: str, placed: tuple[PodId, ...]) -> Wish:
        having = self.having(name)
        lacking = tuple(pod for pod in placed if pod not in having)
        surplus = () if lacking or not placed else tuple(pod for pod in having if pod not in placed)
        return Wish(placed, lacking, surplus)

    def _listed(self) -> Iterator[tuple[Pod, str]]:
        return ((pod, name) for pod in self.listing.values() for name in self._adapters_of(pod))

    def _adapters_of(self, pod: Pod) -> list[str]:
        return [name for name in pod.endpoint.models[1:] if name not in self.bases]
