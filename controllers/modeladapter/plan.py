"""One look at all adapters: where each is, and where it should be.

Lives here: what follows from adapters, pods and the engines' answers, without I/O.  Not here: the choice of engines
(routing.placement), calls (controller), what is written (status, services).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from controllers.modeladapter.objects import Adapter, Claim, Host
from kube.objects import Key
from routing import placement
from routing.placement import Ask, Rng


class Probe(NamedTuple):
    """An engine's answers."""

    host: Host
    models: frozenset[str] | None
    """The names that it lists; None = it does not answer."""
    slots: int | None = None
    latency_s: float | None = None
    tokens: float | None = None
    tokens_per_s: float | None = None
    at_s: float = 0.0
    is_doubtful: bool = False
    """Whether it did not answer the last time, and the answer before stands."""


class Wish(NamedTuple):
    """The engines that have one adapter, and those that should."""

    candidates: tuple[Host, ...] = ()
    placed: tuple[Host, ...] = ()
    """The engines that should have it."""
    loaded: tuple[Host, ...] = ()
    """The engines that list it."""
    invalid: str = ""
    """Why nothing can be done for it, naming the field."""
    unknown: tuple[str, ...] = ()
    """Pods whose engines were not asked yet: until they were nothing is moved."""
    elsewhere: tuple[Host, ...] = ()
    """The engines that have another port than the adapter says, because an older one says so."""

    @property
    def lacking(self) -> tuple[Host, ...]:
        """Return the engines that it is to be loaded on."""
        return tuple(host for host in self.placed if host not in self.loaded)

    @property
    def serving(self) -> tuple[Host, ...]:
        """Return the engines that answer its requests: one that it leaves goes on until all others are there."""
        if self.lacking or not self.placed:
            return self.loaded
        return tuple(host for host in self.loaded if host in self.placed)

    @property
    def surplus(self) -> tuple[Host, ...]:
        """Return the engines that it is to be unloaded from."""
        return tuple(host for host in self.loaded if host not in self.serving)


class Look(NamedTuple):
    """Everything that a plan is made from."""

    adapters: Mapping[Key, Adapter]
    hosts: Mapping[Key, Sequence[Host]]
    """By key of the adapter: the engines of the usable pods that it selects."""
    probes: Mapping[Key, Probe]
    """By key of the pod."""
    before: Mapping[Key, Wish]
    """The last plan: an adapter that is being loaded somewhere is not sent elsewhere."""
    failing: frozenset[tuple[Key, Key]]
    """Adapters, and pods on which their last attempt failed."""
    claims: Mapping[Key, Claim]
    """By key of the pod: its engine's port, where an adapter names it."""


def plan(look: Look, rng: Rng) -> dict[Key, Wish]:
    """Return the wish of each adapter that is not about to go."""
    wishes = {key: _seen(look, key, adapter) for key, adapter in look.adapters.items() if not adapter.is_going}
    asks = [
        _ask(look, key, wish)
        for key, wish in sorted(wishes.items(), key=lambda each: look.adapters[each[0]].age)
        if not wish.invalid and not wish.unknown
    ]
    hosts = [
        placement.Host(key, probe.slots, probe.latency_s, probe.tokens_per_s) for key, probe in look.probes.items()
    ]
    for key, names in placement.place(asks, hosts, rng).items():
        by_key = {host.key: host for host in wishes[key].candidates}
        wishes[key] = wishes[key]._replace(placed=tuple(by_key[name] for name in names))
    for key, wish in wishes.items():
        if wish.unknown:
            kept = look.before.get(key, Wish()).placed
            wishes[key] = wish._replace(placed=tuple(host for host in kept if host in wish.candidates))
    return wishes


def _seen(look: Look, key: Key, adapter: Adapter) -> Wish:
    """Return where an adapter is."""
    claimed = [host for host in look.hosts[key] if host.key in look.claims]
    elsewhere = tuple(host for host in claimed if adapter.named_port not in {None, host.port})
    hosts = [host for host in look.hosts[key] if host not in elsewhere]
    if invalid := adapter.invalid():
        return Wish(tuple(hosts), invalid=invalid)
    probes = {host.key: look.probes.get(host.key) for host in hosts}
    unknown = tuple(host.name for host in hosts if (probe := probes[host.key]) is None or probe.host != host)
    answering = [(host, probe) for host in hosts if (probe := probes[host.key]) and probe.models is not None]
    name = adapter.metadata.name
    loaded = [host for host, probe in answering if probe.host == host and name in (probe.models or ())]
    return Wish(tuple(host for host, _ in answering), loaded=tuple(loaded), unknown=unknown, elsewhere=elsewhere)


def _ask(look: Look, key: Key, wish: Wish) -> Ask:
    adapter = look.adapters[key]
    before = look.before.get(key, Wish())
    coming = [host.key for host in before.placed if host in wish.candidates and (key, host.key) not in look.failing]
    there = [host.key for host in wish.loaded]
    loaded = [name for name in there if name in coming] + [name for name in there if name not in coming]
    willing = [host.key for host in wish.candidates if (key, host.key) not in look.failing]
    policy = adapter.policy or placement.Policy.LEAST_ADAPTERS
    return Ask(
        key,
        adapter.spec.replicas,
        willing or [host.key for host in wish.candidates],
        tuple(dict.fromkeys((*coming, *loaded))),
        policy,
    )
